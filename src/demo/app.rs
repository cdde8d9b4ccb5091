//! The pretend app: it knows nothing of any gateway, and shows each request exactly as it received it.
//!
//! A newcomer sees by it what the gateway adds and what it keeps to itself; tests see by it that nothing arrived
//! (`Running::hits`), and how streams, uploads, trailers, cookies and WebSockets come through. Started by `demo`,
//! by tests and by benches.

mod page;
mod socket;
mod streams;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use http_body_util::BodyExt;
use hyper::header::{ACCEPT, HeaderValue, SET_COOKIE, UPGRADE};
use hyper::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::http::{self, Body, Request, Response};
use crate::server::{self, Door, Drain, Limits};
use page::Page;

/// How long requests may take that are under way when the app stops.
const GRACE: Duration = Duration::from_millis(200);
/// The longest that `/slow` waits.
const SLOWEST: Duration = Duration::from_secs(120);
/// How much of a body is repeated in an answer.
const ECHO_LIMIT: usize = 64 * 1024;

/// The way in: [`App::start`].
pub struct App;

impl App {
    /// Starts the app on a free loopback port of the current tokio runtime.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> io::Result<Running> {
        let page = Page::new().map_err(io::Error::other)?;
        let mut listeners = server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1)?;
        let listener = listeners.pop().ok_or_else(|| io::Error::other("no listener was made"))?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Desk { page, drain: Drain::new(), hits: AtomicU64::new(0), latest: Mutex::new(None) });
        let door = Door::new(listener, None, &Limits::default(), Arc::new(|_| {}), desk.drain.clone());
        let receiving = Arc::clone(&desk);
        let serving = tokio::spawn(server::serve(door, move |arrival, _| {
            let desk = Arc::clone(&receiving);
            async move { desk.receive(arrival.into_request()).await }
        }));
        Ok(Running { desk, address, serving: Some(serving) })
    }
}

/// The app at work. It stops when dropped, or in good order by [`Running::shutdown`].
pub struct Running {
    desk: Arc<Desk>,
    address: SocketAddr,
    serving: Option<JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests ever arrived.
    pub fn hits(&self) -> u64 {
        self.desk.hits.load(Ordering::SeqCst)
    }

    /// The latest request's head, as it arrived.
    pub fn latest(&self) -> Option<Head> {
        lock(&self.desk.latest).clone()
    }

    /// Stops: no new connections, a moment for running requests, then the end.
    pub async fn shutdown(mut self) {
        self.desk.drain.begin();
        let Some(mut serving) = self.serving.take() else { return };
        if tokio::time::timeout(GRACE, &mut serving).await.is_err() {
            self.desk.drain.cut();
            // an app that panicked is as closed as any other
            drop(serving.await);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.desk.drain.cut();
    }
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Head {
    /// `GET`
    pub method: Method,
    /// The target as it stood in the request line.
    pub target: String,
    /// `HTTP/1.1`
    pub version: String,
    /// The headers.
    pub headers: HeaderMap,
}

impl Head {
    /// Names and values, several lines of a name as several pairs; bytes that are not UTF-8 are replaced.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let pairs = self.headers.iter();
        pairs.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
    }

    fn wants_html(&self) -> bool {
        let accept = self.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
        accept.is_some_and(|accept| accept.contains("text/html"))
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?')?.1;
        url::form_urlencoded::parse(query.as_bytes()).find(|pair| pair.0 == name).map(|pair| pair.1.into_owned())
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.parameter(name)?.parse().ok()
    }
}

/// What of a body is told in an answer.
struct Received {
    bytes: u64,
    sha256: String,
    text: Option<String>,
    trailers: Vec<(String, String)>,
    whole: bool,
}

/// Where requests arrive.
struct Desk {
    page: Page,
    drain: Drain,
    hits: AtomicU64,
    latest: Mutex<Option<Head>>,
}

impl Desk {
    async fn receive(&self, mut request: Request) -> Response {
        self.hits.fetch_add(1, Ordering::SeqCst);
        let head = Head {
            method: request.method().clone(),
            target: request.uri().to_string(),
            version: format!("{:?}", request.version()),
            headers: request.headers().clone(),
        };
        *lock(&self.latest) = Some(head.clone());
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/app.css" => http::answer(StatusCode::OK, "text/css; charset=utf-8", include_str!("app/page.css")),
            "/app.js" => http::answer(StatusCode::OK, "text/javascript; charset=utf-8", include_str!("app/page.js")),
            "/events" => streams::events(head.number("count"), head.number("ms")),
            "/socket" if head.headers.contains_key(UPGRADE) => socket::accept(&mut request, &self.drain),
            "/upload" => upload(&head, request.into_body()).await,
            "/trailers" => streams::trailers(read(request.into_body()).await.trailers),
            "/bytes" => streams::bytes(head.number("count").unwrap_or_default()),
            "/headers.json" => http::json(StatusCode::OK, &json!({"headers": head.pairs()})),
            "/slow" => self.slow(&head).await,
            "/set-cookie" => set_cookie(&head),
            "/favicon.ico" => http::text(StatusCode::NOT_FOUND, ""),
            _ => match path.strip_prefix("/status/").map(str::parse::<StatusCode>) {
                Some(Ok(status)) if status.as_u16() >= 200 => http::text(status, status.to_string()),
                Some(_) => http::text(StatusCode::BAD_REQUEST, "a status is a number from 200 to 999"),
                None => self.show(&head, &path, request.into_body()).await,
            },
        }
    }

    /// The request, as a page for people and as JSON for everybody else.
    async fn show(&self, head: &Head, path: &str, body: Body) -> Response {
        let received = read(body).await;
        if path != "/echo" && head.wants_html() {
            return self.page.draw(head, received.bytes);
        }
        http::json(StatusCode::OK, &describe(head, &received))
    }

    async fn slow(&self, head: &Head) -> Response {
        let wait = Duration::from_millis(head.number("ms").unwrap_or(1000)).min(SLOWEST);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.drain.cut_off() => {}
        }
        http::text(StatusCode::OK, format!("waited for {} ms", wait.as_millis()))
    }
}

fn describe(head: &Head, received: &Received) -> Value {
    json!({
        "method": head.method.as_str(),
        "target": head.target,
        "version": head.version,
        "headers": head.pairs(),
        "body": {"bytes": received.bytes, "sha256": received.sha256, "text": received.text, "whole": received.whole},
        "trailers": received.trailers,
    })
}

async fn upload(head: &Head, body: Body) -> Response {
    if !matches!(head.method, Method::POST | Method::PUT) {
        return http::text(StatusCode::METHOD_NOT_ALLOWED, "POST or PUT something here");
    }
    let received = read(body).await;
    let status = if received.whole { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    http::json(status, &json!({"bytes": received.bytes, "sha256": received.sha256, "whole": received.whole}))
}

fn set_cookie(head: &Head) -> Response {
    let name = head.parameter("name").unwrap_or_else(|| "app".to_owned());
    let value = head.parameter("value").unwrap_or_else(|| "1".to_owned());
    let attributes = head.parameter("attributes").unwrap_or_else(|| "Path=/; HttpOnly; SameSite=Lax".to_owned());
    let Ok(cookie) = HeaderValue::from_str(&format!("{name}={value}; {attributes}")) else {
        return http::text(StatusCode::BAD_REQUEST, "this cannot be a cookie");
    };
    let mut response = http::text(StatusCode::OK, "set");
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

/// Takes a body in piece by piece, of any length, and keeps only its beginning.
async fn read(mut body: Body) -> Received {
    let mut hash = Context::new(&SHA256);
    let mut bytes = 0;
    let mut kept = Vec::new();
    let mut trailers = Vec::new();
    let mut whole = true;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            whole = false;
            break;
        };
        match frame.into_data() {
            Ok(data) => {
                hash.update(&data);
                bytes += data.len() as u64;
                let room = ECHO_LIMIT.saturating_sub(kept.len()).min(data.len());
                kept.extend_from_slice(data.get(..room).unwrap_or_default());
            }
            Err(frame) => {
                let fields = frame.into_trailers().unwrap_or_default();
                let lossy = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
                trailers.extend(fields.iter().map(|(name, value)| (name.to_string(), lossy(value))));
            }
        }
    }
    let sha256 = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Received { bytes, sha256, text: String::from_utf8(kept).ok(), trailers, whole }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
