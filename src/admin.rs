//! The operator's listener: is it alive, is it ready, what does it count.
//!
//! Bound apart from the front door (loopback by default), so that nothing here can be reached by a visitor.
//! Called by `gateway::start`, which serves it with the same accept loop.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use hyper::header::{ALLOW, HOST, HeaderValue};
use hyper::{Method, StatusCode, Version};

use crate::http::target::authority;
use crate::http::{self, Request, Response};
use crate::telemetry::Metrics;

/// Whether people can sign in, as far as this process can tell: a provider has answered, there is a certificate to
/// show, and no shutdown has begun.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicU8>);

const ANSWERED: u8 = 1;
const CERTIFIED: u8 = 2;
const CLOSING: u8 = 4;

impl Readiness {
    /// A provider has answered; whether everything is ready by that.
    pub fn is_answered(&self) -> bool {
        self.note(ANSWERED)
    }

    /// There is a certificate to show, or none is needed; whether everything is ready by that.
    pub fn is_certified(&self) -> bool {
        self.note(CERTIFIED)
    }

    /// A shutdown has begun.
    pub fn is_closing(&self) {
        self.note(CLOSING);
    }

    fn note(&self, what: u8) -> bool {
        let before = self.0.fetch_or(what, Ordering::AcqRel);
        before != before | what && before | what == ANSWERED | CERTIFIED
    }

    /// Nothing, or what is still waited for.
    fn lacks(&self) -> Option<&'static str> {
        match self.0.load(Ordering::Acquire) {
            state if state == ANSWERED | CERTIFIED => None,
            ANSWERED => Some("not ready: no certificate yet, and the log says why\n"),
            _ => Some("not ready: starting or shutting down\n"),
        }
    }
}

/// What the operator's listener answers from.
#[derive(Clone)]
pub struct Operator {
    metrics: Arc<Metrics>,
    ready: Readiness,
    hosts: Arc<[String]>,
}

impl Operator {
    /// `ready` is kept by `gateway`; `hosts` are the names, in lower case, by which it may be asked beside addresses and
    /// `localhost`.
    pub fn new(metrics: Arc<Metrics>, ready: Readiness, hosts: &[String]) -> Self {
        Self { metrics, ready, hosts: hosts.into() }
    }

    /// Whether a request was meant for this listener. A page of anybody's can have a browser on this machine ask here,
    /// by a name that resolves to our address since a moment ago; but it cannot have it send another `Host` than that
    /// name. Addresses resolve to nothing but themselves.
    fn is_meant(&self, request: &Request) -> bool {
        // Only programs speak HTTP/1.0, and some leave the field out.
        if request.version() == Version::HTTP_10 && !request.headers().contains_key(HOST) {
            return true;
        }
        let Ok(authority) = authority(request.version(), request.uri(), request.headers().into()) else { return false };
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => authority,
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        bare.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
    }

    /// Answers one request.
    pub fn handle(&self, request: &Request) -> Response {
        if !self.is_meant(request) {
            let words = "this listener answers to its address, to localhost and to the names in operator.hosts\n";
            return http::text(StatusCode::MISDIRECTED_REQUEST, words);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = http::text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/livez" => http::text(StatusCode::OK, "alive\n"),
            "/readyz" => match self.ready.lacks() {
                None => http::text(StatusCode::OK, "ready\n"),
                Some(words) => http::text(StatusCode::SERVICE_UNAVAILABLE, words),
            },
            "/metrics" => http::answer(StatusCode::OK, Metrics::CONTENT_TYPE, self.metrics.encode()),
            _ => http::text(StatusCode::NOT_FOUND, "the operator's listener has /livez, /readyz and /metrics\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Body;
    use http_body_util::BodyExt as _;

    async fn ask(operator: &Operator, method: Method, target: &str) -> (StatusCode, String) {
        ask_as(operator, "127.0.0.1:9180", method, target).await
    }

    async fn ask_as(operator: &Operator, host: &str, method: Method, target: &str) -> (StatusCode, String) {
        let request = hyper::Request::builder().method(method).uri(target).header("host", host);
        let request = request.body(Body::Empty).unwrap();
        let response = operator.handle(&request);
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn operator(ready: bool) -> Operator {
        let readiness = Readiness::default();
        if ready {
            readiness.is_certified();
            readiness.is_answered();
        }
        Operator::new(Arc::new(Metrics::new()), readiness, &["gate.internal".to_owned()])
    }

    #[tokio::test]
    async fn readiness_is_the_gateways_to_say_and_life_is_not() {
        let operator = operator(false);
        assert_eq!(ask(&operator, Method::GET, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(&operator, Method::GET, "/livez").await.0, StatusCode::OK);
        assert!(!operator.ready.is_answered());
        let (status, words) = ask(&operator, Method::GET, "/readyz").await;
        assert!(status == StatusCode::SERVICE_UNAVAILABLE && words.contains("no certificate yet"), "{words}");
        // Told once.
        assert!(operator.ready.is_certified() && !operator.ready.is_certified());
        assert_eq!(ask(&operator, Method::HEAD, "/readyz?verbose").await.0, StatusCode::OK);
        operator.ready.is_closing();
        assert!(!operator.ready.is_answered());
        assert_eq!(ask(&operator, Method::GET, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn a_name_that_anybody_could_point_here_is_no_name_of_ours() {
        let operator = operator(true);
        for host in ["127.0.0.1", "127.0.0.1:9180", "10.1.2.3:80", "[::1]", "[2001:db8::1]:9180", "localhost:9180"] {
            assert_eq!(ask_as(&operator, host, Method::GET, "/metrics").await.0, StatusCode::OK, "{host}");
        }
        assert_eq!(ask_as(&operator, "Gate.Internal:9180", Method::GET, "/livez").await.0, StatusCode::OK);
        for host in [
            "evil.example",
            "evil.example:9180",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[evil]",
            "gate.internal.",
            "",
        ] {
            let answer = ask_as(&operator, host, Method::GET, "/metrics").await.0;
            assert_eq!(answer, StatusCode::MISDIRECTED_REQUEST, "{host}");
        }
    }

    #[tokio::test]
    async fn metrics_are_shown_as_openmetrics() {
        let operator = operator(true);
        operator.metrics.refusal("no_route");
        let (status, body) = ask(&operator, Method::GET, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("portcullis_refusals_total{code=\"no_route\"} 1\n") && body.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn nothing_else_is_there_and_nothing_can_be_changed() {
        let operator = operator(true);
        for path in ["/", "/metrics/", "/livez/x", "//livez", "/.portcullis/me"] {
            assert_eq!(ask(&operator, Method::GET, path).await.0, StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(ask(&operator, Method::POST, "/livez").await.0, StatusCode::METHOD_NOT_ALLOWED);
    }
}
