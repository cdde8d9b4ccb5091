//! The load generator: a closed loop on each connection, in a process of its own.
//!
//! It says `measuring` when it is warm and, at the end, one line of JSON. Sessions are taken at random, so that
//! the store is read as in life.

use std::cell::{Cell, RefCell};
use std::fs;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper::header::{COOKIE, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::options::Aim;
use super::walk::trust;

/// Before the measurement, so that connections are open and everything was done once.
const WARM_UP: f64 = 0.3;

/// What the generator has seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Answers, all of them 200.
    pub(crate) requests: u64,
    /// Anything else.
    pub(crate) errors: u64,
    /// How long, in seconds.
    pub(crate) seconds: f64,
    /// Latencies in microseconds.
    pub(crate) p50: u64,
    /// Of 99 in 100.
    pub(crate) p99: u64,
    /// Of 999 in 1000.
    pub(crate) p999: u64,
}

/// Runs to the end and prints.
pub(crate) fn run(aim: &Aim) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seen = tokio::task::LocalSet::new().block_on(&runtime, load(aim))?;
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// What all connections share.
struct Tally {
    phase: Cell<Phase>,
    latencies: RefCell<Histogram<u64>>,
    errors: Cell<u64>,
    complaint: RefCell<Option<String>>,
    random: Cell<u64>,
    requests: Vec<Request<Empty<Bytes>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measuring,
    Done,
}

async fn load(aim: &Aim) -> anyhow::Result<Seen> {
    let cookies = fs::read_to_string(&aim.cookies)?;
    let requests: anyhow::Result<Vec<_>> = cookies.lines().map(|line| request(aim, line)).collect();
    let tally = Rc::new(Tally {
        phase: Cell::new(Phase::WarmUp),
        latencies: RefCell::new(Histogram::new_with_bounds(1, 60_000_000, 3)?),
        errors: Cell::new(0),
        complaint: RefCell::new(None),
        random: Cell::new(42),
        requests: requests?,
    });
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..aim.connections {
        let (aim, tally) = (aim.clone(), Rc::clone(&tally));
        clients.spawn_local(async move { connect(&aim, &tally).await });
    }
    tokio::time::sleep(Duration::from_secs_f64(WARM_UP)).await;
    println!("measuring");
    let began = Instant::now();
    tally.phase.set(Phase::Measuring);
    tokio::time::sleep(Duration::from_secs_f64(aim.seconds)).await;
    tally.phase.set(Phase::Done);
    let seconds = began.elapsed().as_secs_f64();
    {
        let latencies = tally.latencies.borrow();
        let seen = Seen {
            requests: latencies.len(),
            errors: tally.errors.get(),
            seconds,
            p50: latencies.value_at_quantile(0.5),
            p99: latencies.value_at_quantile(0.99),
            p999: latencies.value_at_quantile(0.999),
        };
        if seen.requests > 0 && seen.errors == 0 {
            return Ok(seen);
        }
    }
    let complaint = tally.complaint.take();
    bail!("{} requests failed, the last one: {}", tally.errors.get(), complaint.unwrap_or_default())
}

fn request(aim: &Aim, cookie: &str) -> anyhow::Result<Request<Empty<Bytes>>> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("sec-fetch-dest", "document"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-site", "same-origin"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(COOKIE, cookie.parse()?);
    let path = "/projects/portcullis/start-page?version=17";
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = if aim.http2 {
        format!("https://{}{path}", aim.authority).parse()?
    } else {
        headers.insert(HOST, aim.authority.parse()?);
        Uri::from_static(path)
    };
    *request.headers_mut() = headers;
    Ok(request)
}

async fn connect(aim: &Aim, tally: &Rc<Tally>) {
    let done = async {
        let stream = TcpStream::connect(aim.target).await.context("connecting")?;
        stream.set_nodelay(true)?;
        match &aim.certificate {
            None => converse(aim, TokioIo::new(stream), tally).await,
            Some(file) => {
                let connector = tokio_rustls::TlsConnector::from(Arc::new(trust(
                    file,
                    if aim.http2 { b"h2" } else { b"http/1.1" },
                )?));
                let stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
                converse(aim, TokioIo::new(stream), tally).await
            }
        }
    };
    if let Err(error) = done.await {
        tally.fail(&error);
    }
}

async fn converse<S>(aim: &Aim, stream: TokioIo<S>, tally: &Rc<Tally>) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if !aim.http2 {
        let (mut sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        while tally.phase.get() != Phase::Done {
            sender.ready().await?;
            let began = Instant::now();
            let response = sender.send_request(tally.next()).await?;
            tally.note(began, response).await?;
        }
        return Ok(());
    }
    let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    tokio::spawn(connection);
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..aim.streams {
        let (mut sender, tally) = (sender.clone(), Rc::clone(tally));
        streams.spawn_local(async move {
            while tally.phase.get() != Phase::Done {
                sender.ready().await?;
                let began = Instant::now();
                let response = sender.send_request(tally.next()).await?;
                tally.note(began, response).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = streams.join_next().await {
        ended??;
    }
    Ok(())
}

impl Tally {
    fn next(&self) -> Request<Empty<Bytes>> {
        // Knuth's generator: cheap, and random enough to spread over the sessions.
        let state = self.random.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random.set(state);
        let index = usize::try_from(state >> 33).unwrap_or_default() % self.requests.len();
        self.requests[index].clone()
    }

    async fn note(&self, began: Instant, response: Response<hyper::body::Incoming>) -> anyhow::Result<()> {
        let status = response.status();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        if status != StatusCode::OK {
            bail!("answered {status}");
        }
        if self.phase.get() == Phase::Measuring {
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.latencies.borrow_mut().saturating_record(micros);
        }
        Ok(())
    }

    fn fail(&self, error: &anyhow::Error) {
        if self.phase.get() != Phase::Done {
            self.errors.set(self.errors.get() + 1);
            *self.complaint.borrow_mut() = Some(format!("{error:#}"));
        }
    }
}
