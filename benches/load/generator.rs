//! The load generator, in a process of its own: one kind of work over and over, on each of its connections.
//!
//! It says `measuring` when it is warm and, at the end, one line of JSON. Sessions are taken at random, so that
//! the store is read as in life. What it costs itself is in the results: nobody mistakes its limit for a proxy's.

mod fresh;
mod handshakes;
mod http1;
mod kept;
mod messages;
mod multiplexed;
mod rate;
mod tally;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::walk::trust;

pub(crate) use http1::length;
use tally::Tally;

/// What the load generator does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Aim {
    /// Where to connect to.
    pub(crate) target: SocketAddr,
    /// What to call it.
    pub(crate) authority: String,
    /// PEM of the certificate to trust; plain text without.
    pub(crate) certificate: Option<PathBuf>,
    /// A file with a `Cookie` line for each session.
    pub(crate) cookies: PathBuf,
    /// So many of its lines.
    pub(crate) sessions: usize,
    /// Areas of the app, each with a route of its own, of which one is taken at random; 0: the whole app is one.
    pub(crate) areas: usize,
    /// Connections.
    pub(crate) connections: usize,
    /// How long before the measurement, so that connections are open and everything was done once.
    pub(crate) warm_up: f64,
    /// How long then.
    pub(crate) seconds: f64,
    /// Bytes of each request's body.
    pub(crate) upload: usize,
    /// Over and over.
    pub(crate) work: Work,
}

/// What is done over and over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// HTTP/1.1 requests on kept-alive connections, the next one when the last one is answered.
    Kept,
    /// HTTP/2, so many requests at a time on each connection.
    Multiplexed(usize),
    /// HTTP/1.1 requests on a schedule, so many each second.
    Rate(u32),
    /// A new connection for each request.
    Fresh,
    /// New TLS connections on which nothing is asked.
    Handshakes(Handshakes),
    /// WebSocket messages of so many bytes, there and back.
    Messages(usize),
}

/// Which handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Handshakes {
    /// As a visitor makes the first time
    Full,
    /// With a ticket from the time before
    Resumed,
}

impl Work {
    /// Whether bodies go to and fro, so that their volume is of interest.
    pub(crate) fn has_bodies(self) -> bool {
        !matches!(self, Self::Handshakes(_) | Self::Messages(_))
    }

    /// What is counted.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Kept | Self::Multiplexed(_) | Self::Rate(_) | Self::Fresh => "request",
            Self::Handshakes(_) => "handshake",
            Self::Messages(_) => "message",
        }
    }
}

/// What the generator has seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// What was done and went well; a message counts when it is back.
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
    /// CPU time of the generator itself, in seconds.
    pub(crate) cpu: f64,
    /// By how much it missed its own schedule in 99 of 100 cases, in microseconds; included in the latencies.
    pub(crate) late: Option<u64>,
    /// What was negotiated, for handshakes.
    pub(crate) negotiated: Option<String>,
}

/// Runs to the end and prints.
pub(crate) fn run(aim: &str) -> anyhow::Result<()> {
    let aim: Aim = serde_json::from_str(aim)?;
    let seen = match aim.work {
        Work::Rate(each_second) => rate::run(&aim, each_second)?,
        _ => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            tokio::task::LocalSet::new().block_on(&runtime, load(aim))?
        }
    };
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

async fn load(aim: Aim) -> anyhow::Result<Seen> {
    let tally = Tally::new(&aim)?;
    let aim = std::rc::Rc::new(aim);
    let tls = aim.certificate.as_ref().map(|file| {
        let protocol: &[u8] = if matches!(aim.work, Work::Multiplexed(_)) { b"h2" } else { b"http/1.1" };
        trust(file, protocol).map(Arc::new)
    });
    let tls = tls.transpose()?;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..aim.connections {
        let (aim, tally, tls) = (std::rc::Rc::clone(&aim), std::rc::Rc::clone(&tally), tls.clone());
        clients.spawn_local(async move {
            let ended = match aim.work {
                Work::Kept | Work::Rate(_) => kept::run(&aim, &tally, tls, number).await,
                Work::Multiplexed(streams) => multiplexed::run(&aim, &tally, tls, streams, number).await,
                Work::Fresh => fresh::run(&aim, &tally, tls, number).await,
                Work::Handshakes(kind) => handshakes::run(&aim, &tally, kind, number).await,
                Work::Messages(bytes) => messages::run(&aim, &tally, tls, bytes, number).await,
            };
            if let Err(error) = ended {
                tally.fail(&error);
            }
        });
    }
    // The clients run until the end of the set.
    tally.watch(&aim).await
}
