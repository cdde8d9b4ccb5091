//! The operator's listener: is it alive, is it ready, what does it count.
//!
//! Bound apart from the front door (loopback by default), so that nothing here can be reached by a visitor.
//! Called by `gateway::start`, which serves it with the same accept loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::header::{ALLOW, HeaderValue};
use hyper::{Method, StatusCode};

use crate::http::{self, Request, Response};
use crate::telemetry::Metrics;

/// What the operator's listener answers from.
#[derive(Clone)]
pub struct Operator {
    metrics: Arc<Metrics>,
    ready: Arc<AtomicBool>,
}

impl Operator {
    /// `ready` is set by `gateway` when every door is open, and cleared when a shutdown begins.
    pub fn new(metrics: Arc<Metrics>, ready: Arc<AtomicBool>) -> Self {
        Self { metrics, ready }
    }

    /// Answers one request.
    pub fn handle(&self, request: &Request) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = http::text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/livez" => http::text(StatusCode::OK, "alive\n"),
            "/readyz" if self.ready.load(Ordering::Acquire) => http::text(StatusCode::OK, "ready\n"),
            "/readyz" => http::text(StatusCode::SERVICE_UNAVAILABLE, "not ready: starting or shutting down\n"),
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
        let request = hyper::Request::builder().method(method).uri(target).body(Body::Empty).unwrap();
        let response = operator.handle(&request);
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn operator(ready: bool) -> Operator {
        Operator::new(Arc::new(Metrics::new()), Arc::new(AtomicBool::new(ready)))
    }

    #[tokio::test]
    async fn readiness_is_the_gateways_to_say_and_life_is_not() {
        let operator = operator(false);
        assert_eq!(ask(&operator, Method::GET, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(&operator, Method::GET, "/livez").await.0, StatusCode::OK);
        operator.ready.store(true, Ordering::Release);
        assert_eq!(ask(&operator, Method::HEAD, "/readyz?verbose").await.0, StatusCode::OK);
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
