//! A WebSocket on a stream of a shared connection (RFC 8441), as bytes that come and go.
//!
//! Nothing is copied out of a piece before somebody has room for it, and the app may send more only as pieces are
//! taken; what is sent waits for the app's window. So either side slows the other and no memory fills. "Orderly
//! TCP-level closures are represented as END_STREAM flags", and whatever else ends it resets the stream with CANCEL
//! (section 5), which dropping it does. Made by `proxy::upstream::h2`, joined to the client's side by `proxy::upgrade`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use hyper::header::{CONTENT_LENGTH, HOST};
use hyper::{Method, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::body::AppBody;
use super::super::connection::{Failed, Why};
use super::{SharedBody, Ticket, failed, unwritable};
use crate::http::Request;
use crate::proxy::upgrade::connect;

/// How much is sent in one piece.
const PIECE: usize = 16 * 1024;

impl Ticket {
    /// Whether the app takes an extended CONNECT: "a client MUST NOT" send one before the app has said so (RFC 8441
    /// section 4).
    pub(in crate::proxy::upstream) fn carries_tunnels(&self) -> bool {
        self.connection.sender.is_extended_connect_protocol_enabled()
    }

    /// Asks for a WebSocket, with HTTP/1.1's handshake as `request`, and answers as an app of HTTP/1.1 does: with a
    /// 101 when the app agrees, whatever success it says so with.
    pub(in crate::proxy::upstream) async fn connect(self, request: Request) -> Result<Response<AppBody>, Failed> {
        let (head, _) = request.into_parts();
        let mut outgoing = hyper::Request::new(());
        *outgoing.uri_mut() = self.target(&head.uri, &head.headers).ok_or_else(unwritable)?;
        *outgoing.method_mut() = Method::CONNECT;
        *outgoing.headers_mut() = head.headers;
        let key = connect::translate(outgoing.headers_mut())
            .map_err(|why| Failed { unsent: None, why: Why::BadHandshake(why) })?;
        outgoing.headers_mut().remove(HOST);
        outgoing.extensions_mut().insert(Protocol::from_static("websocket"));
        let sent = self.connection.sender.clone().send_request(outgoing, false);
        let (mut answer, mut to_app) = sent.map_err(|error| failed(&error))?;
        let answer = self.answer(&mut answer, &head.extensions).await.map_err(|error| failed(&error))?;
        let (mut head, from_app) = answer.into_parts();
        if !head.status.is_success() {
            _ = to_app.send_data(Bytes::new(), true);
            let body = SharedBody::new(from_app, &head.headers, true, None, self);
            return Ok(Response::from_parts(head, AppBody::Shared(Box::new(body))));
        }
        // h2 would hold the tunnel to the length, which "a client MUST ignore" (RFC 9110 section 9.3.6).
        if from_app.is_end_stream() || head.headers.contains_key(CONTENT_LENGTH) {
            let why = Why::Misbehaved("it answered a WebSocket handshake with a page".to_owned());
            return Err(Failed { unsent: None, why });
        }
        head.status = connect::confirm(&key, &mut head.headers);
        Ok(Response::from_parts(head, AppBody::Tunnel(Box::new(Tunnel::new(from_app, to_app, self)))))
    }
}

/// The app's side of a tunnel.
pub struct Tunnel {
    from_app: RecvStream,
    to_app: SendStream<Bytes>,
    /// Came, and was not taken yet.
    at_hand: Bytes,
    has_said_its_end: bool,
    _ticket: Ticket,
}

impl Tunnel {
    fn new(from_app: RecvStream, to_app: SendStream<Bytes>, ticket: Ticket) -> Self {
        Self { from_app, to_app, at_hand: Bytes::new(), has_said_its_end: false, _ticket: ticket }
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").field("at_hand", &self.at_hand.len()).finish_non_exhaustive()
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // An empty piece is no end.
        while this.at_hand.is_empty() {
            match ready!(this.from_app.poll_data(cx)) {
                Some(Ok(data)) => this.at_hand = data,
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = this.at_hand.len().min(buffer.remaining());
        if let Some(taken) = this.at_hand.get(..length) {
            buffer.put_slice(taken);
        }
        this.at_hand.advance(length);
        Poll::Ready(this.from_app.flow_control().release_capacity(length).map_err(broken))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        this.to_app.reserve_capacity(bytes.len().min(PIECE));
        while this.to_app.capacity() == 0 {
            match ready!(this.to_app.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let length = bytes.len().min(PIECE).min(this.to_app.capacity());
        let piece = Bytes::copy_from_slice(bytes.get(..length).unwrap_or_default());
        Poll::Ready(this.to_app.send_data(piece, false).map(|()| length).map_err(broken))
    }

    /// What was sent is on its way: its connection's task writes it.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if std::mem::replace(&mut this.has_said_its_end, true) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(this.to_app.send_data(Bytes::new(), true).map_err(broken))
    }
}

fn broken(error: h2::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
