//! Plain requests: over lean connections, by the same rules as the others.
//!
//! A pool beside the other, because a connection that hyper has once spoken on cannot be had back from it.
//! Called by `proxy::upstream`.

use tokio::time::{Instant, timeout_at};

use super::body::AppBody;
use super::dial::Stream;
use super::fault::{Unanswered, UpstreamFault};
use super::lean::{Answer, Body, Connection, Fault};
use super::pool::Kept;
use super::{Held, Lease, STALE, Upstream};
use crate::http::Reply;
use crate::http::apart::apart;
use crate::proxy::outgoing::Outgoing;

impl Kept for Box<Connection<Stream>> {
    fn is_closed(&mut self) -> bool {
        !self.is_quiet()
    }
}

impl Upstream {
    /// Sends a request that [`Outgoing::is_plain`] and waits for the head of the answer; over `fresh` rather than a
    /// stream of its own, where nobody has spoken on any yet.
    pub(super) async fn exchange_plainly(
        &self,
        request: &mut Outgoing<'_>,
        lease: &mut Lease,
        fresh: Option<Box<Stream>>,
    ) -> Result<Reply<AppBody>, Unanswered> {
        let now = request.sent_at();
        let until = Instant::from_std(now) + self.settings.first_byte_timeout.value;
        while let Some((connection, idle_for)) = self.line.lean.pop(now, self.settings.pool_idle_timeout.value) {
            match connection.exchange(request, until).await {
                Ok(answer) => return Ok(take(answer, lease)),
                // Whether it is open is asked when it is used.
                Err(Fault::Unsent(_)) => {}
                // It may have been closing it all along. Whether it was this request that made it, or that its client is
                // leaving, a connection of its own tells.
                Err(Fault::Unanswered | Fault::Left) if idle_for > STALE && request.is_safe() => break,
                Err(fault) => return Err(self.plain_fault(fault).into()),
            }
        }
        // To dial is rare, and its future larger than all the rest.
        let answer = apart(|| self.exchange_afresh(request, fresh, until)).await?;
        Ok(take(answer, lease))
    }

    /// The same over a connection that nobody has used.
    async fn exchange_afresh(
        &self,
        request: &mut Outgoing<'_>,
        fresh: Option<Box<Stream>>,
        until: Instant,
    ) -> Result<Answer<Stream>, Unanswered> {
        let stream = match fresh {
            Some(stream) => *stream,
            None => match timeout_at(until, self.dial_alone()).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(fault)) => return Err(fault.before(request.take().whole())),
                Err(_) => return Err(self.plain_fault(Fault::Late).before(request.take().whole())),
            },
        };
        match Connection::new(stream).exchange(request, until).await {
            Ok(answer) => Ok(answer),
            Err(fault @ Fault::Unsent(_)) => Err(self.plain_fault(fault).before(request.take().whole())),
            Err(fault) => Err(self.plain_fault(fault).into()),
        }
    }

    fn plain_fault(&self, fault: Fault) -> UpstreamFault {
        let address = self.line.address.clone();
        match fault {
            Fault::Late => self.first_byte_timeout(),
            Fault::Alert(cause) | Fault::Unsent(Some(cause)) => UpstreamFault::Handshake { address, cause },
            Fault::Left => UpstreamFault::Left { address },
            Fault::Unsent(None) | Fault::Unanswered => UpstreamFault::Ended { address, cause: fault.to_string() },
            Fault::Broken(_) | Fault::Misbehaved(_) => UpstreamFault::Misbehaved { address, cause: fault.to_string() },
        }
    }
}

/// The answer, with its connection where the answer's end will find it.
fn take(answer: Answer<Stream>, lease: &mut Lease) -> Reply<AppBody> {
    let body = match answer.body {
        Body::Whole(bytes, connection) => {
            lease.connection = connection.map(Held::Lean);
            AppBody::Whole(bytes)
        }
        Body::Streamed(incoming) => AppBody::Lean(Box::new(incoming)),
    };
    Reply::plain(answer.status, answer.lines, body)
}
