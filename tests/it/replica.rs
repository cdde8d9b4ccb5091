//! One of several instances of an app: it says who it is, counts what reaches it, and can be stopped and started.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use hyper::{HeaderMap, StatusCode};
use portcullis::http::{self, Request, Response};
use portcullis::server::{self, Door, Drain, Limits};

use crate::world::free_port;

/// An instance, on a port that stays its own.
pub struct Replica {
    pub name: &'static str,
    port: u16,
    state: Arc<State>,
    drain: Drain,
}

struct State {
    name: &'static str,
    hits: AtomicUsize,
    checks: Mutex<Vec<HeaderMap>>,
    /// What its health checks are answered.
    health: AtomicU16,
    waiting: AtomicUsize,
}

impl Replica {
    pub fn start(name: &'static str) -> Self {
        let state = Arc::new(State {
            name,
            hits: AtomicUsize::new(0),
            checks: Mutex::default(),
            health: AtomicU16::new(200),
            waiting: AtomicUsize::new(0),
        });
        let mut replica = Self { name, port: free_port(), state, drain: Drain::new() };
        replica.start_again();
        replica
    }

    /// An instance that nobody has started yet.
    pub fn absent(name: &'static str) -> Self {
        let mut replica = Self::start(name);
        replica.stop();
        replica
    }

    /// Listens again, at the same port.
    pub fn start_again(&mut self) {
        self.drain = Drain::new();
        let address = format!("127.0.0.1:{}", self.port).parse().unwrap();
        let listener = server::bind(address, 1).unwrap().pop().unwrap();
        let door = Door::new(listener, None, &Limits::default(), Arc::new(|_| ()), self.drain.clone());
        let state = Arc::clone(&self.state);
        tokio::spawn(server::serve(door, move |arrival, _peer| answer(arrival.into_request(), Arc::clone(&state))));
    }

    /// Breaks off everything and listens no more.
    pub fn stop(&mut self) {
        self.drain.cut();
    }

    /// Its address, as a route writes it.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many requests have reached it, without health checks.
    pub fn hits(&self) -> usize {
        self.state.hits.load(Ordering::SeqCst)
    }

    /// The heads of the health checks that have reached it.
    pub fn checks(&self) -> Vec<HeaderMap> {
        self.state.checks.lock().unwrap().clone()
    }

    /// What its health checks are answered from now on.
    pub fn answer_checks(&self, status: u16) {
        self.state.health.store(status, Ordering::SeqCst);
    }

    /// How many requests to `/slow` have come: they are never answered.
    pub fn waiting(&self) -> usize {
        self.state.waiting.load(Ordering::SeqCst)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.drain.cut();
    }
}

async fn answer(request: Request, state: Arc<State>) -> Response {
    let path = request.uri().path().to_owned();
    if path == "/healthz" {
        state.checks.lock().unwrap().push(request.headers().clone());
        let status = StatusCode::from_u16(state.health.load(Ordering::SeqCst)).unwrap();
        return http::text(status, "as I feel");
    }
    state.hits.fetch_add(1, Ordering::SeqCst);
    // Broken off or whole: what counts is that it came.
    _ = request.into_body().collect().await;
    if path == "/slow" {
        state.waiting.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>().await;
    }
    let status = if path == "/teapot" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    http::text(status, state.name)
}

/// The one route of a world whose app these are.
pub fn route(replicas: &[&Replica], more: &str) -> String {
    let addresses: Vec<_> = replicas.iter().map(|replica| format!("{:?}", replica.address())).collect();
    format!("[[route]]\nname = \"app\"\nupstream = [{}]\n{more}\n", addresses.join(", "))
}
