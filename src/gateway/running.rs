//! A gateway at work, and how it ends.
//!
//! Made by `gateway::house`, held by whoever started it: `cli`, `demo`, tests and benches.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;

use crate::admin::Readiness;
use crate::server::listen::SocketFile;
use crate::server::{Drain, Place};
use crate::telemetry::AccessLog;

/// A gateway at work.
pub struct Running {
    /// The first address of the front door; unspecified where it has none, see `places`.
    pub address: SocketAddr,
    /// Where the front door is.
    pub places: Vec<Place>,
    /// The first address where people are sent from http to https, if there is any.
    pub redirect_address: Option<SocketAddr>,
    /// Where the operator's listener is, unless it is off.
    pub operator_address: Option<SocketAddr>,
    pub(super) drain: Drain,
    /// The operator's listener answers until the front door is closed.
    pub(super) operator_drain: Drain,
    pub(super) deadline: Duration,
    pub(super) ready: Readiness,
    pub(super) cores: Vec<JoinHandle<()>>,
    pub(super) operator: Option<JoinHandle<()>>,
    pub(super) access: AccessLog,
    /// Those of unix sockets that are still there.
    pub(super) files: Vec<SocketFile>,
    pub(super) reread: [Arc<Notify>; 2],
}

impl Running {
    /// Closes the doors; running requests, streams and tunnels may go on until `drain`, then they are cut.
    /// Returns when every thread has ended.
    pub async fn shutdown(mut self) {
        self.ready.is_closing();
        self.drain.begin();
        // From here on nobody answers there, and the next gateway may begin.
        self.files.clear();
        let cores = std::mem::take(&mut self.cores);
        let ended = tokio::task::spawn_blocking(move || cores.into_iter().for_each(|core| _ = core.join()));
        let mut ended = std::pin::pin!(ended);
        if tokio::time::timeout(self.deadline, ended.as_mut()).await.is_err() {
            tracing::warn!("the drain's deadline has passed: what still runs is cut");
            self.drain.cut();
            _ = ended.await;
        }
        self.operator_drain.cut();
        if let Some(operator) = self.operator.take() {
            _ = tokio::task::spawn_blocking(move || operator.join()).await;
        }
        self.access.stop();
    }

    /// Reads the certificates again, at once and whether or not their files have changed, and orders again what could
    /// not be ordered: for SIGHUP.
    pub fn reread_certificates(&self) {
        self.reread.iter().for_each(|asked| asked.notify_one());
    }

    /// Cuts what still runs, at once: for a second signal.
    pub fn cutter(&self) -> impl Fn() + Send + 'static {
        let drain = self.drain.clone();
        move || drain.cut()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.drain.cut();
        self.operator_drain.cut();
    }
}
