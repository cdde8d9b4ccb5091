//! One connection, from the accepted socket to its end.
//!
//! Its entry, its handshake under a deadline, and then its protocol, by ALPN: `http1` or `http2`. Spawned by
//! `server::serve`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::entry::{Entry, Refused, Seat};
use super::event::Events;
use super::handshake::shake_hands;
use super::http1::speak_http1;
use super::http2::speak_http2;
use super::socket::Socket;
use super::streams::Activity;
use super::tls::Tls;
use super::wire::{Permit, WRITE_TIMEOUT, Wire};
use super::{Drain, Limits};
use crate::http::apart::apart;
use crate::http::{Arrival, ClientCertificate, Peer, Remote, Reply};

/// What the connections of one door have in common.
pub(super) struct Shared<H> {
    pub(super) handler: H,
    tls: Option<Arc<Tls>>,
    pub(super) limits: Limits,
    pub(super) events: Events,
    pub(super) drain: Drain,
    pub(super) tasks: TaskTracker,
    entry: Entry,
}

impl<H> Shared<H> {
    /// Of one door.
    pub(super) fn new(
        handler: H,
        tls: Option<Arc<Tls>>,
        limits: Limits,
        events: Events,
        drain: Drain,
        tasks: TaskTracker,
        entry: Entry,
    ) -> Self {
        // One more layer, so that cloning it for a request touches no counter that other cores touch.
        let outer = events;
        let events: Events = Arc::new(move |event| outer(event));
        Self { handler, tls, limits, events, drain, tasks, entry }
    }

    /// Whether bytes on this door's sockets are HTTP.
    pub(super) fn speaks_plainly(&self) -> bool {
        self.tls.is_none()
    }
}

/// Serves one connection.
pub(super) async fn attend<H, F>(shared: Arc<Shared<H>>, mut socket: Socket, mut remote: Remote, mut permit: Permit)
where
    H: Fn(Arrival, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: Into<Reply>> + Send + 'static,
{
    if shared.entry.asks() {
        match apart(|| enter(&shared, &mut socket, remote)).await {
            Ok((client, seat)) => {
                remote = client;
                permit.keep(seat);
            }
            Err(Refused::Crowded) => return super::turn_away(&socket, shared.speaks_plainly()),
            Err(Refused::Silently) => return,
        }
    }
    let activity = Arc::new(Activity::new());
    match &shared.tls {
        // Plain connections do not pay for the size of TLS ones.
        Some(tls) => apart(|| secure(&shared, tls, socket, permit, remote, activity)).await,
        None => {
            let wire = Wire::new(socket, WRITE_TIMEOUT, Arc::clone(&activity), Some(permit));
            speak_http1(&shared, wire, Peer::plain(remote), activity).await;
        }
    }
}

async fn enter<H>(shared: &Shared<H>, socket: &mut Socket, remote: Remote) -> Result<(Remote, Option<Seat>), Refused> {
    tokio::select! {
        entered = shared.entry.receive(socket, remote, shared.limits.handshake_timeout, &shared.events) => entered,
        // Nobody has asked for anything yet: there is nothing to finish.
        () = shared.drain.cancelled() => Err(Refused::Silently),
    }
}

async fn secure<H, F>(
    shared: &Arc<Shared<H>>,
    tls: &Tls,
    socket: Socket,
    permit: Permit,
    remote: Remote,
    activity: Arc<Activity>,
) where
    H: Fn(Arrival, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output: Into<Reply>> + Send + 'static,
{
    let limit = shared.limits.handshake_timeout;
    let (stream, shown) = tokio::select! {
        done = apart(|| shake_hands(tls, socket, permit, &activity, remote, limit)) => match done {
            Ok(secured) => secured,
            Err(event) => return (shared.events)(event),
        },
        // Nobody has asked for anything yet: there is nothing to finish.
        () = shared.drain.cancelled() => return,
    };
    // Verified: whoever is asked for one gets no further with another.
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = certificate.map(|certificate| Arc::new(ClientCertificate::verified(certificate)));
    let peer = Peer { certificate, ..Peer::encrypted(remote, shown) };
    // What the handshake took is not the first head's.
    activity.note_end();
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        speak_http2(shared, stream, peer, activity).await;
    } else {
        speak_http1(shared, stream, peer, activity).await;
    }
}

/// `age`, less up to a tenth that depends on the client's port, so that what came together does not leave together.
pub(super) fn jittered(age: Duration, peer: &Peer) -> Duration {
    age - age / 640 * u32::from(peer.remote.port().unwrap_or_default() % 64)
}
