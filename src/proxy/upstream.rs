//! One app as one core sees it: a stack of kept-alive connections, a bound, and deadlines.
//!
//! A pool of our own on `hyper::client::conn`, because it costs 8 to 14 % less CPU for each request than the
//! pooled client (measured) and because it belongs to one core, so that nothing is ever handed across threads.
//! The connection used last is used next: it is the least likely to have been closed. Called by `proxy`.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};

use super::stream::Progress;

use crate::http::{Body, Request};
pub use crate::route::Address;

/// Deadlines and limits towards an app.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name look-up and connection. Default 5 s.
    pub connect_timeout: Duration,
    /// From the request's head to the response's. Default 60 s.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a response's body. Default 5 min.
    pub idle_timeout: Duration,
    /// Between two pieces through a tunnel, either way. Default 1 h.
    pub tunnel_idle_timeout: Duration,
    /// How long an unused connection is kept; below the app's own keep-alive time. Default 4 s.
    pub pool_idle_timeout: Duration,
    /// Requests to one app at a time, over all cores. Default 1,000.
    pub connections: usize,
}

/// Why an app gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamFault {
    /// It could not be connected to.
    #[error("cannot connect to {authority}: {cause}")]
    Unreachable {
        /// Where.
        authority: String,
        /// Why.
        cause: std::io::Error,
    },
    /// Connecting took longer than `upstream.connect_timeout`.
    #[error("connecting to {authority} took longer than upstream.connect_timeout")]
    ConnectTimeout {
        /// Where.
        authority: String,
    },
    /// Its answer took longer than `upstream.first_byte_timeout`.
    #[error("{authority} sent no answer within upstream.first_byte_timeout")]
    FirstByteTimeout {
        /// Where.
        authority: String,
    },
    /// It closed the connection or answered something that is not HTTP.
    #[error("{authority} broke off or did not speak HTTP: {cause}")]
    Misbehaved {
        /// Where.
        authority: String,
        /// Why.
        cause: String,
    },
    /// `upstream.connections` are in use.
    #[error("{authority} has upstream.connections requests under way")]
    Busy {
        /// Where.
        authority: String,
    },
    /// The client's body broke off or stalled while it was sent on.
    #[error("the client's body broke off: {cause}")]
    ClientBody {
        /// Why.
        cause: String,
    },
}

/// A kept-alive connection that nobody uses.
struct Idle {
    sender: http1::SendRequest<Body>,
    since: Instant,
}

/// One app, from one core.
pub struct Upstream {
    address: Address,
    settings: Settings,
    /// How many requests this core may have under way.
    bound: usize,
    busy: AtomicUsize,
    /// Locked for a push or a pop, by one thread alone: never contended, never across an await.
    idle: Mutex<Vec<Idle>>,
}

/// A connection in use. Give it back when its answer was read to the end; dropped before, it is closed.
pub struct Lease {
    upstream: Arc<Upstream>,
    sender: Option<http1::SendRequest<Body>>,
}

impl Lease {
    /// Back to the pool, for the next request; or closed, when the app answered before the request's body had
    /// come to its end. hyper ends such a connection itself sooner or later, but nobody should wait for that with
    /// a stranger's upload on it.
    pub fn give_back(mut self, request: Option<&Progress>) {
        if let Some(sender) = self.sender.take()
            && !sender.is_closed()
            && request.is_none_or(Progress::has_ended)
        {
            self.upstream.lock().push(Idle { sender, since: Instant::now() });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a connection that was given back may take to be ready.
const SETTLE: Duration = Duration::from_millis(20);

/// Whether a connection has been idle so long that the app may be closing it this very moment.
const STALE: Duration = Duration::from_millis(500);

impl Upstream {
    /// An app that one of `cores` cores talks to.
    pub fn new(address: Address, settings: Settings, cores: usize) -> Self {
        let bound = settings.connections.div_ceil(cores.max(1));
        Self { address, settings, bound, busy: AtomicUsize::new(0), idle: Mutex::new(Vec::new()) }
    }

    /// Its deadlines.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// A request is sent a second time only when it cannot have been acted on: its connection turned out to be
    /// closed before a byte was written, or, for a safe method without a body, a connection that had been idle
    /// for a while closed without an answer (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1).
    ///
    /// # Errors
    /// [`UpstreamFault`], by what happened.
    pub async fn send(
        self: &Arc<Self>,
        request: Request,
        progress: Option<&Progress>,
    ) -> Result<(hyper::Response<Incoming>, Lease), UpstreamFault> {
        if self.busy.fetch_add(1, Ordering::Relaxed) >= self.bound {
            self.busy.fetch_sub(1, Ordering::Relaxed);
            return Err(UpstreamFault::Busy { authority: self.address.authority.clone() });
        }
        let mut lease = Lease { upstream: Arc::clone(self), sender: None };
        let answer = {
            let now = Instant::now();
            let mut exchange = pin!(self.exchange(request, &mut lease, now));
            let mut deadline = tokio::time::Instant::from_std(now) + self.settings.first_byte_timeout;
            loop {
                match timeout_at(deadline, exchange.as_mut()).await {
                    Ok(answer) => break answer?,
                    Err(_) => {
                        let extended = progress.map(|progress| progress.last() + self.settings.first_byte_timeout);
                        match extended {
                            Some(later) if later > deadline => deadline = later,
                            _ => {
                                return Err(UpstreamFault::FirstByteTimeout {
                                    authority: self.address.authority.clone(),
                                });
                            }
                        }
                    }
                }
            }
        };
        Ok((answer, lease))
    }

    async fn exchange(
        &self,
        mut request: Request,
        lease: &mut Lease,
        now: Instant,
    ) -> Result<hyper::Response<Incoming>, UpstreamFault> {
        while let Some((mut sender, idle_for)) = self.pop(now).await {
            let replay = if idle_for > STALE { copy_of(&request) } else { None };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    lease.sender = Some(sender);
                    return Ok(response);
                }
                Err(mut failure) => match (failure.take_message(), replay) {
                    (Some(unsent), _) => request = unsent,
                    (None, Some(copy)) if failure.error().is_incomplete_message() => request = copy,
                    (None, _) => return Err(self.fault(failure.error())),
                },
            }
        }
        let mut sender = self.connect().await?;
        let response = sender.send_request(request).await.map_err(|error| self.fault(&error))?;
        lease.sender = Some(sender);
        Ok(response)
    }

    /// A connection that is still open, and how long it was idle.
    async fn pop(&self, now: Instant) -> Option<(http1::SendRequest<Body>, Duration)> {
        loop {
            let Idle { mut sender, since } = self.lock().pop()?;
            let idle_for = now.saturating_duration_since(since);
            if idle_for > self.settings.pool_idle_timeout {
                // Those below it are older still.
                self.lock().clear();
                return None;
            }
            // Its task may not have seen the end of the last exchange yet; an upload that goes on is not waited for.
            if sender.is_ready() || matches!(timeout(SETTLE, sender.ready()).await, Ok(Ok(()))) {
                return Some((sender, idle_for));
            }
        }
    }

    async fn connect(&self) -> Result<http1::SendRequest<Body>, UpstreamFault> {
        let authority = || self.address.authority.clone();
        let stream = within(self.settings.connect_timeout, TcpStream::connect(&self.address.authority))
            .await
            .map_err(|()| UpstreamFault::ConnectTimeout { authority: authority() })?
            .map_err(|cause| UpstreamFault::Unreachable { authority: authority(), cause })?;
        stream.set_nodelay(true).map_err(|cause| UpstreamFault::Unreachable { authority: authority(), cause })?;
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(false)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.fault(&error))?;
        // Ends by itself when its sender is dropped: with the pool, or with the lease.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an app ended");
            }
        });
        Ok(sender)
    }

    fn fault(&self, error: &hyper::Error) -> UpstreamFault {
        if error.is_user() {
            let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            return UpstreamFault::ClientBody { cause };
        }
        UpstreamFault::Misbehaved { authority: self.address.authority.clone(), cause: error.to_string() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes connections that have been idle for too long; the gateway calls it now and then.
    pub fn sweep(&self) {
        let limit = self.settings.pool_idle_timeout;
        self.lock().retain(|idle| idle.since.elapsed() <= limit && !idle.sender.is_closed());
    }
}

async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, ()> {
    timeout(limit, future).await.map_err(|_| ())
}

/// A copy of a request that may be sent twice: a safe method, no body.
fn copy_of(request: &Request) -> Option<Request> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !safe || !matches!(request.body(), Body::Empty) {
        return None;
    }
    let mut copy = Request::new(Body::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}
