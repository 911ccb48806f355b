//! Where a handler works. All calls of a connection share its task, unless they ask for another place.

use futures::stream::{BoxStream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Response, Status};

pub(super) type Answer<T> = Result<Response<T>, Status>;

/// In a task of its own, for what computes so long that other calls of the connection should not wait for it. Ends
/// early when the caller goes away.
pub(super) async fn apart<T: Send + 'static>(
    work: impl Future<Output = Answer<T>> + Send + 'static,
) -> Answer<T> {
    outcome(AbortOnDropHandle::new(tokio::spawn(work)).await)
}

/// In a task of its own, to its end even if the caller goes away.
pub(super) async fn detached<T: Send + 'static>(
    work: impl Future<Output = Answer<T>> + Send + 'static,
) -> Answer<T> {
    let task: JoinHandle<Answer<T>> = tokio::spawn(work);
    outcome(task.await)
}

fn outcome<T>(ended: Result<Answer<T>, tokio::task::JoinError>) -> Answer<T> {
    ended.unwrap_or_else(|error| {
        tracing::error!(error = %error, subsystem_name = "api", "A call did not end");
        Err(Status::internal("internal error"))
    })
}

/// A conversation: what `work` sends is streamed while it goes on. It goes no further than somebody listens.
pub(super) fn conversation<T, F>(
    work: impl FnOnce(mpsc::Sender<Result<T, Status>>) -> F,
) -> BoxStream<'static, Result<T, Status>>
where
    T: Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (replies, stream) = mpsc::channel(2);
    let silent = futures::stream::once(work(replies)).filter_map(|()| std::future::ready(None));
    futures::stream::select(ReceiverStream::new(stream), silent).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_conversation_ends_with_its_work_and_keeps_the_order() {
        let stream = conversation(|replies| async move {
            for number in 0..10 {
                replies.send(Ok(number)).await.unwrap();
            }
        });
        let numbers: Vec<i32> = stream.map(Result::unwrap).collect().await;
        assert_eq!(numbers, (0..10).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn work_that_panics_is_an_internal_error() {
        let status = apart::<()>(async { panic!("a defect") }).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (tonic::Code::Internal, "internal error"));
    }
}
