//! An app that knows nothing of the gateway: it remembers every request and answers by path.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{HeaderValue, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use hyper::{HeaderMap, Method, StatusCode};
use portcullis::http::{self, Body, Request, Response};
use portcullis::server::{self, Door, Drain, Limits};

/// A request as the app received it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Seen {
    /// All lines of a header, as text.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }

    /// The one line of a header; panics when there are several.
    pub fn one(&self, name: &str) -> Option<String> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} came more than once: {all:?}");
        all.into_iter().next()
    }
}

/// The app at work, on a loopback port of its own.
pub struct App {
    pub authority: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    drain: Drain,
}

impl App {
    pub fn start() -> Self {
        let listener = server::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().pop().unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let drain = Drain::new();
        let door = Door::new(listener, None, &Limits::default(), Arc::new(|_| ()), drain.clone());
        let notes = Arc::clone(&seen);
        tokio::spawn(server::serve(door, move |arrival, _peer| answer(arrival.into_request(), Arc::clone(&notes))));
        Self { authority, seen, drain }
    }

    /// How many requests have reached it.
    pub fn hits(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Every request, oldest first.
    pub fn everything(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The newest request.
    pub fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().expect("no request has reached the app").clone()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.drain.cut();
    }
}

async fn answer(request: Request, seen: Arc<Mutex<Vec<Seen>>>) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let collected = body.collect().await;
    let (body, trailers) = match collected {
        Ok(collected) => {
            let trailers = collected.trailers().cloned();
            (collected.to_bytes(), trailers)
        }
        Err(_) => (Bytes::new(), None),
    };
    let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let len = body.len();
    seen.lock().unwrap().push(Seen { method: head.method, target, headers: head.headers, body, trailers });
    match path.as_str() {
        "/impostor" => {
            let mut response = http::text(StatusCode::OK, "the app tries to set our cookies");
            for line in ["__Host-portcullis=evil; Path=/; Secure", "portcullis=evil; Path=/", "theme=dark; Path=/"] {
                response.headers_mut().append(SET_COOKIE, HeaderValue::from_static(line));
            }
            response
        }
        "/strict" => {
            let mut response = http::text(StatusCode::OK, "the app speaks of TLS");
            for line in ["max-age=1", "max-age=0; includeSubDomains"] {
                response.headers_mut().append(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(line));
            }
            response
        }
        "/teapot" => http::text(StatusCode::IM_A_TEAPOT, "short and stout"),
        "/upload" => http::text(StatusCode::OK, len.to_string()),
        "/nothing" => {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        _ => http::answer(StatusCode::OK, "text/html; charset=utf-8", "<h1>The app</h1>"),
    }
}
