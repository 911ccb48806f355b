//! `grpc-timeout`: how long the caller waits.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, Response};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

/// Up to eight digits and a unit; `None` if there is no such header or it makes no sense.
pub fn deadline(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value.checked_mul(3600)?),
        "M" => Duration::from_secs(value.checked_mul(60)?),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

type Answer = Result<Response<Body>, Infallible>;

pin_project_lite::pin_project! {
    /// A call that is given up once nobody waits for its answer any more. What an answer then streams is not limited:
    /// its reader sees to that.
    pub(super) struct WithDeadline<F> {
        #[pin]
        call: F,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F> WithDeadline<F> {
    pub(super) fn new(call: F, deadline: Option<Duration>) -> Self {
        Self { call, timer: deadline.map(|deadline| Box::pin(tokio::time::sleep(deadline))) }
    }
}

impl<F: Future<Output = Answer>> Future for WithDeadline<F> {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let this = self.project();
        if let Poll::Ready(answer) = this.call.poll(context) {
            return Poll::Ready(answer);
        }
        match this.timer {
            Some(timer) => ready!(timer.as_mut().poll(context)),
            None => return Poll::Pending,
        }
        Poll::Ready(Ok(Status::deadline_exceeded("context deadline exceeded").into_http()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_have_a_unit() {
        let of = |text: &str| {
            deadline(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]))
        };
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("", None),
            ("S", None),
            ("-1S", None),
            ("7", None),
            ("18446744073709551615H", None),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        assert_eq!(deadline(&HeaderMap::new()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_given_up_when_its_deadline_has_passed() {
        let never = std::future::pending::<Answer>();
        let answer = WithDeadline::new(never, Some(Duration::from_millis(5))).await.unwrap();
        assert_eq!(answer.headers().get("grpc-status").unwrap(), "4");
        let at_once = std::future::ready(Ok(Response::new(Body::empty())));
        let answer = WithDeadline::new(at_once, Some(Duration::ZERO)).await.unwrap();
        assert!(answer.headers().get("grpc-status").is_none());
    }
}
