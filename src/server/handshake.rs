//! A TLS handshake under its deadline, or why there was none.
//!
//! Whoever speaks plain HTTP instead is told so in plain HTTP. That is no guess between two protocols: TLS alone is
//! served, and the deadline covers the first byte as well. An authority that comes for the proof that a host is ours
//! (RFC 8737) is shown it and goes: such a connection never reaches HTTP. Called by `server::connection`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use super::event::Event;
use super::socket::Socket;
use super::streams::Activity;
use super::tls::{ClientFault, Tls};
use super::wire::{Permit, WRITE_TIMEOUT, Wire};
use super::{TLS_ALONE, say_last};
use crate::http::{Remote, Shown};

/// What is read of a client's first words; as a rule all of them.
const HELLO: usize = 2 * 1024;

/// Shakes hands within `limit`: a stream, and the certificate that belongs to it.
pub(super) async fn shake_hands(
    tls: &Tls,
    mut socket: Socket,
    permit: Permit,
    activity: &Arc<Activity>,
    remote: Remote,
    limit: Duration,
) -> Result<(TlsStream<Wire<Socket>>, Shown), Event> {
    let handshake = async {
        if speaks_http(&mut socket).await? {
            say_last(&socket, TLS_ALONE);
            return Ok(Err(Event::PlainText { peer: remote }));
        }
        // Whoever was silent since a reload is judged by what holds now.
        let now = tls.current();
        let wire = Wire::new(socket, WRITE_TIMEOUT, Arc::clone(activity), Some(permit));
        let stream = match tls.challenges().filter(|challenges| challenges.are_pending()) {
            None => TlsAcceptor::from(Arc::clone(&now.config)).accept(wire).await?,
            Some(challenges) => {
                let start = LazyConfigAcceptor::new(Acceptor::default(), wire).await?;
                if let Some(proof) = challenges.answer(&start.client_hello()) {
                    start.into_stream(proof).await?.shutdown().await?;
                    return Ok(Err(Event::ProofShown { peer: remote }));
                }
                start.into_stream(Arc::clone(&now.config)).await?
            }
        };
        let shown = now.shown(stream.get_ref().1.server_name());
        Ok(Ok((stream, shown)))
    };
    match tokio::time::timeout(limit, handshake).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Err(refused(remote, &error)),
        Err(_) => Err(Event::HandshakeTimeout { peer: remote }),
    }
}

/// Whether a client's first words are HTTP: a method is in capital letters, and a handshake begins with 22. They are
/// read again afterwards.
async fn speaks_http(socket: &mut Socket) -> io::Result<bool> {
    let mut first = Vec::with_capacity(HELLO);
    socket.read_buf(&mut first).await?;
    let speaks_http = first.first().is_some_and(u8::is_ascii_uppercase);
    socket.give_back(first);
    Ok(speaks_http)
}

fn refused(peer: Remote, error: &io::Error) -> Event {
    let cause = error.to_string();
    match ClientFault::of(error) {
        Some(fault) => Event::ClientRefused { peer, fault, cause },
        None => Event::HandshakeFailed { peer, cause },
    }
}
