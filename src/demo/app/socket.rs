//! The app's WebSocket, which says everything back (RFC 6455).
//!
//! hyper hands over the connection after the 101; tokio-tungstenite reads and writes the frames. Called by the
//! app's dispatch.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::http::{self, Body, Request, Response};
use crate::server::Drain;

/// RFC 6455 section 1.3.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The largest message that is said back.
const MESSAGE_LIMIT: usize = 1024 * 1024;

/// Accepts the handshake and echoes in a task of its own until either side ends it.
pub(super) fn accept(request: &mut Request, drain: &Drain) -> Response {
    let headers = request.headers();
    let websocket = headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|value| value == "13");
    let key = headers.get(SEC_WEBSOCKET_KEY).cloned();
    let (Some(key), true, true) = (key, websocket && version, request.method() == Method::GET) else {
        return http::text(StatusCode::BAD_REQUEST, "this is no WebSocket handshake of version 13");
    };
    let Ok(accept) = HeaderValue::try_from(accept_key(key.as_bytes())) else {
        return http::text(StatusCode::BAD_REQUEST, "this key cannot be answered");
    };
    let protocol = headers.get(SEC_WEBSOCKET_PROTOCOL).and_then(|offered| offered.to_str().ok());
    let protocol = protocol.and_then(|offered| offered.split(',').next()).map(|first| first.trim().to_owned());
    drain.spawn(echo(hyper::upgrade::on(request)));
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(Ok(protocol)) = protocol.map(HeaderValue::try_from) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

async fn echo(upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else { return };
    let limits = WebSocketConfig::default().max_message_size(Some(MESSAGE_LIMIT));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}

/// RFC 6455 section 4.2.2: SHA-1 proves only that somebody read the key; nothing is kept secret by it.
fn accept_key(key: &[u8]) -> String {
    let text = [key, KEY_SUFFIX.as_bytes()].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6455_is_answered() {
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
