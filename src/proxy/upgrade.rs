//! WebSocket and other upgrades: two pipes, tied to the session.
//!
//! Nothing is tunnelled before the app's 101 (CVE-2026-2833: bytes sent early ran past the checks). A tunnel
//! outlives the request that opened it, so it ends with the session, at the session's latest end, when idle,
//! and at the shutdown's deadline. `h2c` is never passed on: it would carry unchecked requests past this gate.
//! Called by `proxy`.

pub mod connect;
mod relay;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::{Method, StatusCode, Version};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::relay::{Relay, Traffic};
use super::headers::upgrade_offer;
use super::upstream::Lease;
use crate::clock::Timestamp;
use crate::http::Request;
use crate::http::tunnel::{Promise, Side};
use crate::session::Session;
use crate::telemetry::RequestId;

/// How a tunnel is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// By `Upgrade`, in HTTP/1.1: the protocol.
    Upgrade(HeaderValue),
    /// By an extended CONNECT, in HTTP/2: a WebSocket, with the key that the app is asked with.
    Connect(connect::Key),
}

impl Opening {
    /// Asks the app for it.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        let protocol = match self {
            Self::Upgrade(protocol) => protocol.clone(),
            Self::Connect(key) => {
                connect::ask(key, headers);
                connect::WEBSOCKET
            }
        };
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }

    /// Judges the head of the app's answer, switch or not.
    pub(super) fn check(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), &'static str> {
        match self {
            // "... the protocol(s) to which the connection is being switched" (RFC 9110 section 7.8): by no other name than
            // it was asked for, which is what was judged. Some apps leave it away.
            Self::Upgrade(offered) if status == StatusCode::SWITCHING_PROTOCOLS => {
                let is_it = |named: &HeaderValue| named.as_bytes().eq_ignore_ascii_case(offered.as_bytes());
                let is_one = headers.get_all(UPGRADE).iter().nth(1).is_none();
                if is_one && headers.get(UPGRADE).is_none_or(is_it) {
                    Ok(())
                } else {
                    Err("it switched to another protocol")
                }
            }
            Self::Upgrade(_) => Ok(()),
            Self::Connect(key) => connect::check(key, status, headers),
        }
    }

    /// Makes of the head of the app's 101, cleaned already, the head of our answer; `named` is its `Upgrade`.
    pub(super) fn accept(self, headers: &mut HeaderMap, named: Option<HeaderValue>) -> StatusCode {
        match self {
            Self::Upgrade(offered) => {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, named.unwrap_or(offered));
                StatusCode::SWITCHING_PROTOCOLS
            }
            Self::Connect(_) => connect::accept(headers),
        }
    }
}

/// What a request asks for beside an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Nothing: an ordinary exchange.
    None,
    /// To go on in another protocol on this connection.
    Tunnel(Opening),
    /// An upgrade that is not passed on, with the reason for the page.
    Refused(&'static str),
}

/// Reads what a request offers in HTTP/1.1 (RFC 9110 section 7.8).
pub fn read_offer(request: &Request) -> Offer {
    let Some(protocol) = upgrade_offer(request.headers()) else { return Offer::None };
    let Ok(name) = protocol.to_str() else { return Offer::Refused("the Upgrade cannot be read") };
    let name = name.trim();
    let bare = name.split(['/', ' ', '\t', ';']).next().unwrap_or_default();
    let is_http = name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("HTTP"));
    if is_http || ["h2c", "TLS"].iter().any(|other| bare.eq_ignore_ascii_case(other)) {
        // Behind them are requests that nobody judges (RFC 9113 section 3.1, RFC 2817 section 3). "A server MAY ignore a
        // received Upgrade header field": answered as if it were not there.
        return Offer::None;
    }
    if name.is_empty()
        || name.contains([',', ' ', '\t', ';'])
        || request.headers().get_all(UPGRADE).iter().nth(1).is_some()
    {
        return Offer::Refused("the Upgrade names several protocols");
    }
    if *request.method() != Method::GET || request.version() != Version::HTTP_11 {
        return Offer::Refused("an Upgrade needs a GET over HTTP/1.1");
    }
    let has_body = request.headers().contains_key(TRANSFER_ENCODING)
        || request.headers().get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body {
        return Offer::Refused("an Upgrade cannot have a body");
    }
    Offer::Tunnel(Opening::Upgrade(protocol.clone()))
}

/// What keeps tunnels under control: every one is tracked, and all are cut at the shutdown's deadline.
#[derive(Clone, Debug)]
pub struct Tunnels {
    /// Waited for at shutdown.
    pub tracker: TaskTracker,
    /// Cancelled at the shutdown's deadline.
    pub cut: CancellationToken,
}

/// What bounds one tunnel.
pub struct Bounds {
    /// Whose it is.
    pub session: Arc<Session>,
    /// What the log calls the request that opened it.
    pub id: RequestId,
    /// The moment that it was opened.
    pub now: Timestamp,
}

impl Tunnels {
    /// Joins the client's and the app's side once both have switched protocols.
    ///
    /// `lease` is held meanwhile: a tunnel counts as a request under way, and its connection never goes back.
    pub fn join(&self, client: Promise, app: Promise, bounds: Bounds, lease: Lease) {
        let cut = self.cut.clone();
        self.tracker.spawn(async move {
            let (client, app) = match tokio::try_join!(client.kept(), app.kept()) {
                Ok(sides) => sides,
                Err(error) => {
                    tracing::debug!(%error, "a tunnel did not come about");
                    return;
                }
            };
            let id = bounds.id;
            let request_id = id.as_str();
            let (address, limit) = (lease.address(), lease.tunnel_idle_timeout());
            match carry(client, app, bounds, limit.value, cut).await {
                End::Idle => {
                    tracing::info!(request_id, %address, %limit, "a tunnel was silent for too long and was closed");
                }
                why => tracing::debug!(request_id, %address, ?why, "a tunnel ended"),
            }
        });
    }
}

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Broken,
    Idle,
    SessionEnded,
    CutOff,
}

/// Carries until both sides have ended, or something else ends it. The relay is a task of its own: each piece wakes that
/// one alone, and not whoever waits for the session, the clock or the shutdown as well.
async fn carry(client: Side, app: Side, bounds: Bounds, idle_timeout: Duration, cut: CancellationToken) -> End {
    let traffic = Arc::new(Traffic::default());
    let mut relay = Relay::new(client, app, Arc::clone(&traffic));
    let mut carrying = JoinSet::new();
    carrying.spawn(async move { poll_fn(|cx| relay.poll(cx)).await.is_ok() });
    let lifetime = bounds.session.ends.since(bounds.now);
    let why = tokio::select! {
        done = carrying.join_next() => if matches!(done, Some(Ok(true))) { End::Closed } else { End::Broken },
        () = bounds.session.ended() => End::SessionEnded,
        () = sleep(lifetime) => End::SessionEnded,
        () = traffic.silence(idle_timeout) => End::Idle,
        () = cut.cancelled() => End::CutOff,
    };
    // Both connections are closed before anybody hears that the tunnel is.
    carrying.shutdown().await;
    why
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Body;

    fn request(lines: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::new(Body::Empty);
        for (name, value) in lines {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn a_websocket_is_a_tunnel() {
        let offer = read_offer(&request(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]));
        assert_eq!(offer, Offer::Tunnel(Opening::Upgrade(HeaderValue::from_static("websocket"))));
    }

    #[test]
    fn an_upgrade_that_connection_does_not_name_is_none() {
        assert_eq!(read_offer(&request(&[("upgrade", "websocket")])), Offer::None);
    }

    #[test]
    fn h2c_never_passes() {
        for protocol in ["h2c", "H2C", "HTTP/2.0", "h2c/1", "h2c websocket", "h2c;q=1", "TLS/1.0", "tls"] {
            assert_eq!(
                read_offer(&request(&[("connection", "upgrade"), ("upgrade", protocol)])),
                Offer::None,
                "{protocol}"
            );
        }
    }

    #[test]
    fn an_app_switches_to_what_was_asked_for_and_to_nothing_else() {
        let opening = Opening::Upgrade(HeaderValue::from_static("websocket"));
        let check = |status: u16, named: &[&'static str]| {
            let headers = named.iter().map(|name| (UPGRADE, HeaderValue::from_static(name))).collect();
            opening.check(StatusCode::from_u16(status).unwrap(), &headers).is_ok()
        };
        assert!(check(101, &["WebSocket"]) && check(101, &[]) && check(426, &["TLS/1.0"]));
        assert!(!check(101, &["h2c"]) && !check(101, &["websocket", "websocket"]) && !check(101, &["websocket, h2c"]));
    }

    #[test]
    fn an_upgrade_with_a_body_is_refused() {
        for framing in [("content-length", "5"), ("transfer-encoding", "chunked")] {
            let offer = read_offer(&request(&[("connection", "upgrade"), ("upgrade", "websocket"), framing]));
            assert!(matches!(offer, Offer::Refused(_)), "{framing:?}");
        }
        let mut post = request(&[("connection", "upgrade"), ("upgrade", "websocket")]);
        *post.method_mut() = Method::POST;
        assert!(matches!(read_offer(&post), Offer::Refused(_)));
        for protocols in ["websocket, h2c", "websocket h2c", "websocket\th2c", "websocket;h2c"] {
            let several = request(&[("connection", "upgrade"), ("upgrade", protocols)]);
            assert!(matches!(read_offer(&several), Offer::Refused(_)), "{protocols}");
        }
    }
}
