//! The requests that run on one HTTP/2 connection: counted, tracked, and the time since the last one.
//!
//! hyper neither ends an idle HTTP/2 connection nor says how many streams are open; it spawns each stream through
//! an executor, so that is where they are counted. Called by `server::connection`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// How busy a connection is.
pub(super) struct Activity {
    running: AtomicUsize,
    served: AtomicUsize,
    opened: Instant,
    /// Milliseconds from `opened` to the end of the last request.
    last_end: AtomicU64,
}

impl Activity {
    /// Of a connection that opens now.
    pub(super) fn new() -> Self {
        Self {
            running: AtomicUsize::new(0),
            served: AtomicUsize::new(0),
            opened: Instant::now(),
            last_end: AtomicU64::new(0),
        }
    }

    /// A request begins on an HTTP/1.1 connection, where hyper keeps the rest of the books.
    pub(super) fn note_request(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether a request was ever complete.
    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed) > 0
    }

    /// When the connection will have idled for `limit`, as far as is known now: never before it does.
    pub(super) fn idle_deadline(&self, limit: Duration) -> Instant {
        if self.is_idle() {
            self.opened + Duration::from_millis(self.last_end.load(Ordering::Relaxed)) + limit
        } else {
            Instant::now() + limit
        }
    }

    /// Whether no stream is open.
    pub(super) fn is_idle(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0
    }

    fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(Arc::clone(self))
    }
}

/// One open stream.
struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        let since = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_end.store(since, Ordering::Relaxed);
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Spawns the streams of one connection.
#[derive(Clone)]
pub(super) struct Streams {
    activity: Arc<Activity>,
    tasks: TaskTracker,
}

impl Streams {
    /// Streams that count in `activity` and are waited for in `tasks`.
    pub(super) fn new(activity: Arc<Activity>, tasks: TaskTracker) -> Self {
        Self { activity, tasks }
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, stream: F) {
        let running = self.activity.begin();
        self.tasks.spawn(async move {
            stream.await;
            drop(running);
        });
    }
}
