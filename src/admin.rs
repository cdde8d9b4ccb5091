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
