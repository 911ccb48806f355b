//! Unix signals as SPIRE uses them (SC-510 to SC-514).

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::shutdown::Shutdown;

/// Triggers `shutdown` on the first SIGINT or SIGTERM; later ones have no further effect (SC-510).
///
/// The handlers are installed before this returns, so a signal during start-up is not lost. The returned future does
/// the listening: run it beside the program, it ends when `shutdown` was triggered by whomever.
///
/// From now on SIGUSR1 and SIGUSR2 do nothing until somebody listens: a script that rotates logs must not end a program
/// that has no log file, or none yet (SC-513, SC-514).
pub fn stop_on_signal(shutdown: Shutdown) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    drop((reconfigure()?, reopen_log()?));
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = shutdown.cancelled() => {}
        }
        shutdown.trigger();
    })
}

/// A signal that can be waited for again and again.
#[derive(Debug)]
pub struct SignalStream(Signal);

impl SignalStream {
    /// Completes at the next signal. Several signals in a row may count as one.
    pub async fn recv(&mut self) {
        if self.0.recv().await.is_none() {
            // No more signals can come; whoever waits for one waits for ever.
            std::future::pending::<()>().await;
        }
    }
}

/// SIGUSR1: re-read plugin data files (SC-511). The default action (terminate) is off from now on, for good.
pub fn reconfigure() -> io::Result<SignalStream> {
    Ok(SignalStream(signal(SignalKind::user_defined1())?))
}

/// SIGUSR2: reopen the log file (SC-513). The default action (terminate) is off from now on, for good.
pub fn reopen_log() -> io::Result<SignalStream> {
    Ok(SignalStream(signal(SignalKind::user_defined2())?))
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn signals_that_nobody_listens_to_end_nothing() {
        // SC-513, SC-514
        let shutdown = Shutdown::new();
        let watcher = stop_on_signal(shutdown.clone()).unwrap();
        for signal in [Signal::USR1, Signal::USR2] {
            kill_process(getpid(), signal).unwrap();
        }
        shutdown.trigger();
        watcher.await;
    }
}
