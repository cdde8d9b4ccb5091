//! The threads of a gateway: each has a runtime of its own, and none begins before all are there.
//!
//! A core that served while another could still fail to start would take visitors only to cut them. Called by
//! `gateway::house`.

use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::{self, Runtime};
use tokio::sync::watch;

/// A thread with a current-thread runtime of its own that runs `work` to its end, once `begins` was told; when its
/// sender is gone first, there is nothing to do.
///
/// # Errors
/// When there is no thread or no runtime to be had, for want of descriptors mostly.
pub(super) fn start(
    name: String,
    mut begins: watch::Receiver<()>,
    work: impl Future<Output = ()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let work = async move {
        if begins.changed().await.is_ok() {
            work.await;
        }
    };
    run_in(std::thread::Builder::new().name(name), runtime, work)
}

/// A runtime that is dropped within another panics, and a thread that cannot be had drops what it was given: so the
/// runtime is handed over when the thread is there.
fn run_in(
    thread: std::thread::Builder,
    runtime: Runtime,
    work: impl Future<Output = ()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (hand, taken) = mpsc::channel::<Runtime>();
    let spawned = thread.spawn(move || {
        if let Ok(runtime) = taken.recv() {
            runtime.block_on(work);
        }
    });
    match spawned {
        Ok(thread) => {
            if let Err(mpsc::SendError(runtime)) = hand.send(runtime) {
                runtime.shutdown_background();
            }
            Ok(thread)
        }
        Err(error) => {
            runtime.shutdown_background();
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn run(tell: impl FnOnce(watch::Sender<()>)) -> bool {
        let (begin, begins) = watch::channel(());
        let ran = Arc::new(AtomicBool::new(false));
        let work = {
            let ran = Arc::clone(&ran);
            async move { ran.store(true, Ordering::Relaxed) }
        };
        let thread = start("a-thread".to_owned(), begins, work).unwrap();
        tell(begin);
        thread.join().unwrap();
        ran.load(Ordering::Relaxed)
    }

    #[test]
    fn no_thread_works_when_the_start_has_failed() {
        assert!(!run(drop));
        assert!(run(|begin| begin.send_replace(())));
    }

    #[tokio::test]
    async fn a_thread_that_cannot_be_had_is_an_error() {
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let more_than_there_is = std::thread::Builder::new().stack_size(1 << 60);
        assert!(run_in(more_than_there_is, runtime, async {}).is_err());
    }
}
