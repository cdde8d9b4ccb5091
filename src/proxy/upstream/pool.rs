//! Kept-alive connections of one core to one address, as a stack.
//!
//! The connection used last is used next: it is the least likely to have been closed, and those below it are
//! older still. One stack for each way of speaking. Called by `proxy::upstream`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A connection that can be kept for the next request.
pub(super) trait Kept {
    /// Whether nothing can be sent over it any more.
    fn is_closed(&mut self) -> bool;
}

/// A kept-alive connection that nobody uses.
struct Idle<C> {
    connection: C,
    since: Instant,
}

/// Connections that nobody uses.
pub(super) struct Pool<C> {
    /// Locked for a push or a pop, by one thread alone: never contended, never across an await.
    idle: Mutex<Vec<Idle<C>>>,
}

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Self { idle: Mutex::default() }
    }
}

impl<C: Kept> Pool<C> {
    /// Keeps a connection for the next request, from now on.
    pub(super) fn push(&self, connection: C, now: Instant) {
        self.lock().push(Idle { connection, since: now });
    }

    /// A connection that was idle for no longer than `limit`, and how long it was.
    pub(super) fn pop(&self, now: Instant, limit: Duration) -> Option<(C, Duration)> {
        let mut all = self.lock();
        let Idle { connection, since } = all.pop()?;
        let idle_for = now.saturating_duration_since(since);
        if idle_for > limit {
            // Those below it are older still.
            all.clear();
            return None;
        }
        Some((connection, idle_for))
    }

    /// Closes what has been idle for longer than `limit`, or was closed by the app.
    pub(super) fn sweep(&self, limit: Duration) {
        self.lock().retain_mut(|idle| idle.since.elapsed() <= limit && !idle.connection.is_closed());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle<C>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
