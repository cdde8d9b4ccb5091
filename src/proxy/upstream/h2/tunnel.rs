//! A WebSocket on a stream of a shared connection (RFC 8441): asked for with HTTP/1.1's handshake, and answered as by
//! an app of HTTP/1.1. Called by `proxy::upstream::shared`, joined to the client's side by `proxy::upgrade`.

use bytes::Bytes;
use h2::ext::Protocol;
use hyper::header::{CONTENT_LENGTH, HOST};
use hyper::{Method, Response};

use super::super::body::AppBody;
use super::super::connection::{Failed, Why};
use super::{SharedBody, Ticket, failed, unwritable};
use crate::http::Request;
use crate::http::duplex::{Cancelled, Duplex};
use crate::proxy::upgrade::connect;

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
        let stream = Duplex::new(from_app, to_app, Cancelled::Broken, self);
        Ok(Response::from_parts(head, AppBody::Tunnel(Box::new(stream))))
    }
}
