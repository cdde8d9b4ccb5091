//! WebSocket over HTTP/2 (RFC 8441): an extended CONNECT on one stream, and the handshake of RFC 6455 on the other side.
//!
//! In between it is always HTTP/1.1's handshake, so the half of it that HTTP/2 left out is ours. For a client that
//! speaks HTTP/2 a fresh key is made, and the app's 101 counts only with that key's answer; for an app that does, the
//! key stays here and is answered here. Everything else is as for any tunnel; only the first word differs, a success
//! in place of the 101, which is why no other success may pass on either side. Called by `gateway` and `proxy`.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use h2::ext::Protocol;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING,
    UPGRADE,
};
use hyper::{Method, StatusCode};

use crate::http::Request;
use crate::secret::{NoRandomness, random};

/// RFC 6455 section 1.3: what is joined to every key.
const SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The protocol, as `Upgrade` names it.
pub(super) const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Reads a client's key. The last character of 22 has four bits to spare, and some clients draw it like the others.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Why an extended CONNECT is refused.
#[derive(Debug, thiserror::Error)]
pub enum BadConnect {
    /// For another protocol.
    #[error("the :protocol is not websocket")]
    Protocol,
    /// No key could be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// `Sec-WebSocket-Key`: shows that whoever answers has read this very handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(HeaderValue);

impl Key {
    fn new() -> Result<Self, NoRandomness> {
        let key = STANDARD.encode(random::<16>()?);
        HeaderValue::try_from(key).map(Self).map_err(|_| NoRandomness)
    }

    /// The key of a handshake in HTTP/1.1: "a base64-encoded value that, when decoded, is 16 bytes in length" (RFC
    /// 6455 section 4.2.1).
    fn read(headers: &HeaderMap) -> Option<Self> {
        let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).into_iter();
        let key = keys.next().filter(|key| LENIENT.decode(key.as_bytes()).is_ok_and(|key| key.len() == 16))?;
        keys.next().is_none().then(|| Self(key.clone()))
    }

    /// `Sec-WebSocket-Accept` to it.
    fn answer(&self) -> String {
        let text = [self.0.as_bytes(), SUFFIX.as_bytes()].concat();
        STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
    }
}

/// Makes of an extended CONNECT the GET that it stands for (RFC 8441 section 5), and the key for the app. `None` for
/// every other request; a plain CONNECT stays one, and has no target.
///
/// # Errors
/// [`BadConnect`], when it is not for a WebSocket.
pub fn receive(request: &mut Request) -> Result<Option<Key>, BadConnect> {
    if *request.method() != Method::CONNECT {
        return Ok(None);
    }
    let Some(protocol) = request.extensions_mut().remove::<Protocol>() else { return Ok(None) };
    if !protocol.as_str().eq_ignore_ascii_case("websocket") {
        return Err(BadConnect::Protocol);
    }
    *request.method_mut() = Method::GET;
    Ok(Some(Key::new()?))
}

/// Adds what HTTP/1.1 asks for it.
pub(crate) fn ask(key: &Key, headers: &mut HeaderMap) {
    headers.insert(SEC_WEBSOCKET_KEY, key.0.clone());
}

/// Judges the app's answer, before it is passed on.
///
/// # Errors
/// What is wrong with it: a success that is no WebSocket, or a WebSocket that answers another handshake.
pub(crate) fn check(key: &Key, status: StatusCode, headers: &HeaderMap) -> Result<(), &'static str> {
    if status.is_success() {
        return Err("it answered a WebSocket handshake with a page");
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    let mut protocols = headers.get_all(UPGRADE).into_iter();
    let named = protocols.next().is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !named || protocols.next().is_some() {
        return Err("it switched to another protocol than WebSocket");
    }
    let mut answers = headers.get_all(SEC_WEBSOCKET_ACCEPT).into_iter();
    let right = answers.next().is_some_and(|answer| answer.as_bytes() == key.answer().as_bytes());
    if right && answers.next().is_none() { Ok(()) } else { Err("its Sec-WebSocket-Accept does not fit the key") }
}

/// What is left of the app's 101: RFC 8441 section 5 takes the answer to the key away, RFC 9113 section 8.2.2 the rest.
pub(crate) fn accept(headers: &mut HeaderMap) -> StatusCode {
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT, CONTENT_LENGTH] {
        headers.remove(name);
    }
    StatusCode::OK
}

/// Makes of HTTP/1.1's handshake, a WebSocket's, what an extended CONNECT says to an app: "the Upgrade and Connection
/// header fields ... are not used" and neither is the key (RFC 8441 section 5), which is left to be answered here.
///
/// # Errors
/// What is wrong with the handshake, for the client.
pub(in crate::proxy) fn translate(headers: &mut HeaderMap) -> Result<Key, &'static str> {
    let key = Key::read(headers).ok_or("the WebSocket handshake has no valid Sec-WebSocket-Key")?;
    // A length would be that of the tunnel.
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_KEY, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    Ok(key)
}

/// Makes of the head of an app's success the 101 that whoever sent the key waits for.
pub(in crate::proxy) fn confirm(key: &Key, headers: &mut HeaderMap) -> StatusCode {
    headers.insert(UPGRADE, WEBSOCKET);
    if let Ok(answer) = HeaderValue::try_from(key.answer()) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, answer);
    }
    StatusCode::SWITCHING_PROTOCOLS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Body;

    fn connect(protocol: Option<&'static str>) -> Request {
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = Method::CONNECT;
        if let Some(name) = protocol {
            request.extensions_mut().insert(Protocol::from_static(name));
        }
        request
    }

    fn reply(lines: &[(&'static str, &str)]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        lines.for_each(|(name, value): (hyper::header::HeaderName, HeaderValue)| _ = headers.append(name, value));
        headers
    }

    #[test]
    fn the_key_of_the_standard_has_the_answer_of_the_standard() {
        let key = Key(HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(key.answer(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_ne!(Key::new().unwrap(), Key::new().unwrap());
        assert_eq!(STANDARD.decode(Key::new().unwrap().0.as_bytes()).unwrap().len(), 16);
    }

    #[test]
    fn only_an_extended_connect_for_a_websocket_becomes_a_get() {
        for name in ["websocket", "WebSocket"] {
            let mut request = connect(Some(name));
            assert!(receive(&mut request).unwrap().is_some());
            assert_eq!(*request.method(), Method::GET);
        }
        for name in ["connect-udp", "", "websocket, h2c", "websocket "] {
            let mut request = connect(Some(name));
            assert!(matches!(receive(&mut request), Err(BadConnect::Protocol)), "{name}");
        }
        let mut plain = connect(None);
        assert!(receive(&mut plain).unwrap().is_none());
        assert_eq!(*plain.method(), Method::CONNECT, "it has no target then");
        let mut get = Request::new(Body::Empty);
        get.extensions_mut().insert(Protocol::from_static("websocket"));
        assert!(receive(&mut get).unwrap().is_none());
    }

    #[test]
    fn a_switch_counts_with_the_answer_to_our_key_alone() {
        let key = Key(HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        let good = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let judge = |status: u16, lines: &[(&'static str, &str)]| {
            check(&key, StatusCode::from_u16(status).unwrap(), &reply(lines))
        };
        assert_eq!(judge(101, &[("upgrade", "WebSocket"), good]), Ok(()));
        for lines in [
            &[good][..],
            &[("upgrade", "websocket")],
            &[("upgrade", "h2c"), good],
            &[("upgrade", "websocket"), ("upgrade", "h2c"), good],
            &[("upgrade", "websocket"), ("sec-websocket-accept", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo=")],
            &[("upgrade", "websocket"), good, good],
        ] {
            assert!(judge(101, lines).is_err(), "{lines:?}");
        }
        for status in [200, 204, 206] {
            assert!(judge(status, &[("upgrade", "websocket"), good]).is_err(), "{status}");
        }
        for status in [302, 401, 403, 426, 503] {
            assert_eq!(judge(status, &[]), Ok(()), "{status}");
        }
    }

    #[test]
    fn a_handshake_becomes_an_extended_connect_and_its_answer_fits_its_key() {
        let mut asked = reply(&[
            ("host", "chat.example"),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("sec-websocket-protocol", "chat"),
            ("content-length", "0"),
        ]);
        let key = translate(&mut asked).unwrap();
        let left: Vec<_> = asked.keys().map(hyper::header::HeaderName::as_str).collect();
        assert_eq!(left, ["host", "sec-websocket-version", "sec-websocket-protocol"]);
        // Whatever the app says in its place.
        let mut answer =
            reply(&[("sec-websocket-protocol", "chat"), ("sec-websocket-accept", "x"), ("upgrade", "h2c")]);
        answer.append("sec-websocket-accept", HeaderValue::from_static("y"));
        assert_eq!(confirm(&key, &mut answer), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(check(&key, StatusCode::SWITCHING_PROTOCOLS, &answer), Ok(()));
        assert_eq!(answer["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer["sec-websocket-protocol"], "chat");
    }

    #[test]
    fn only_sixteen_bytes_once_are_a_key() {
        for good in ["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="] {
            assert!(translate(&mut reply(&[("sec-websocket-key", good)])).is_ok(), "{good}");
        }
        for bad in ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZQ==, x", "????"] {
            assert!(translate(&mut reply(&[("sec-websocket-key", bad)])).is_err(), "{bad}");
        }
        assert!(translate(&mut reply(&[])).is_err());
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        assert!(translate(&mut reply(&[key, key])).is_err());
    }
}
