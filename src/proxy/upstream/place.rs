//! One of the requests that an address may have under way, for as long as anything of it is.
//!
//! Taken by `proxy::upstream` before anything is sent, and given back with the answer's end; or later, when the app
//! answered before it had all of the request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{Instant, sleep_until};

use super::super::stream::Progress;
use super::Upstream;
use super::connection::Connection;

/// A place among them.
pub(super) struct Place(pub(super) Arc<Upstream>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Place {
    /// Lets a connection come to its end, for as long as what is still sent on it moves.
    pub(super) async fn see_off(self, connection: Connection, request: Option<Arc<Progress>>) {
        let (address, limit) = (&self.0.line.address, &self.0.settings.idle_timeout);
        let (left, span) = (Instant::now(), limit.value);
        let patience = async move {
            let mut until = left + span;
            while until > Instant::now() {
                sleep_until(until).await;
                until = request.as_ref().map_or(left, |upload| upload.last().max(left)) + span;
            }
        };
        if !connection.leave(patience).await {
            tracing::warn!(%address, %limit, "an app that had answered took no more of an upload: it was cut off");
        }
    }
}
