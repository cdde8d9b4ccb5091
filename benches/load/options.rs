//! What the load test is told.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Parser, Subcommand, ValueEnum};

use super::figures::Figure;
use super::generator::{Handshakes, Work};
use super::process::{Core, most_files};

/// How people would type the gateway's address, without TLS and with it.
pub(crate) const ORIGINS: [&str; 2] = ["http://localhost:8080", "https://localhost:8443"];

/// How long each variant takes in each round, in seconds, when nothing else is said.
const SECONDS: f64 = 3.0;

/// The same where there is a lot to measure.
const SECONDS_OF_MANY: f64 = 1.0;

/// The same where there are many sessions: each turn begins with their memory cold, for what others did meanwhile, and in
/// a second not half of them are asked for.
pub(crate) const SECONDS_OF_GROWTH: f64 = 5.0;

/// A load test of the whole gateway, against going direct and against its peers on this machine.
///
/// Everything runs on loopback, each part in a process of its own, in rounds that alternate between the variants;
/// the figures are medians over the rounds.
#[derive(Clone, Debug, Parser)]
#[command(name = "load", group = ArgGroup::new("work"), group = ArgGroup::new("whole"))]
pub(crate) struct Options {
    /// Signed-in sessions; each request takes one at random
    #[arg(long, default_value_t = 1)]
    pub(crate) sessions: usize,
    /// Kept-alive connections of the load generator
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Seconds for each variant in each round: 3 unless you say, 5 for --growth, 1 for --figures, of which
    /// sessions take at least 5
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Bytes of an answer's body
    #[arg(long, default_value_t = 128)]
    pub(crate) body: usize,
    /// Bytes of a request's body; with any, requests are uploads
    #[arg(long, default_value_t = 0)]
    pub(crate) upload: usize,
    /// Worker threads of the gateway, worker processes of nginx
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: usize,
    /// TLS between the load generator and the proxies
    #[arg(long)]
    pub(crate) tls: bool,
    /// HTTP/2 between the load generator and the proxies; implies --tls
    #[arg(long, group = "work")]
    pub(crate) http2: bool,
    /// Requests at a time on each HTTP/2 connection
    #[arg(long, default_value_t = 8)]
    pub(crate) streams: usize,
    /// So many requests each second on a schedule, with latencies from the moment each was due, instead of as many
    /// as there can be
    #[arg(long, group = "work", value_name = "REQUESTS")]
    pub(crate) rate: Option<u32>,
    /// A new connection for every request
    #[arg(long, group = "work")]
    pub(crate) fresh: bool,
    /// TLS 1.3 handshakes with nothing asked afterwards
    #[arg(long, value_enum, group = "work")]
    pub(crate) handshakes: Option<Handshakes>,
    /// WebSocket messages of --body bytes, there and back
    #[arg(long, group = "work")]
    pub(crate) websocket: bool,
    /// How people sign in
    #[arg(long, value_enum, default_value_t = Protocol::Oidc)]
    pub(crate) protocol: Protocol,
    /// What to compare with, separated by commas; `bash benches/peers` installs them
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Peer::Nginx])]
    pub(crate) peer: Vec<Peer>,
    /// Another build of the gateway, to lay beside this one
    #[arg(long, value_name = "PROGRAM", conflicts_with = "whole")]
    pub(crate) before: Option<PathBuf>,
    /// The proxy alone on the first core, everything else on the second (needs taskset)
    #[arg(long)]
    pub(crate) pin: bool,
    /// Idle connections to measure memory with; 0 leaves it out
    #[arg(long, default_value_t = 1000)]
    pub(crate) idle: usize,
    /// Who writes an access log
    #[arg(long, value_enum, default_value_t = AccessLog::On)]
    pub(crate) access_log: AccessLog,
    /// All that is promised, one figure after the other, beside what was promised; or only those named, as in
    /// --figures=fresh,websocket
    #[arg(long, value_enum, group = "whole", value_delimiter = ',', num_args = 0.., require_equals = true)]
    pub(crate) figures: Option<Vec<Figure>>,
    /// How the cost of a request grows with sessions, routes and connections
    #[arg(long, group = "whole")]
    pub(crate) growth: bool,
    /// Sessions to grow to. A million takes a million sign-ins: some twenty minutes, and 1.1 GB of memory
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1000, 100_000, 1_000_000])]
    pub(crate) grow_sessions: Vec<usize>,
    /// Routes to grow to
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1000])]
    pub(crate) grow_routes: Vec<usize>,
    /// Connections to grow to
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    pub(crate) grow_connections: Vec<usize>,
    /// Everything once, for a fraction of a second: does it work at all?
    #[arg(long)]
    pub(crate) smoke: bool,
    /// Passed by cargo; without it (`cargo test`) the run is a smoke test
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
    /// A part of the test in a process of its own
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// What the gateway speaks with the pretend org.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// OpenID Connect
    Oidc,
    /// SAML: requests by redirect, Response and Assertion signed
    Saml,
}

impl Protocol {
    /// As the configuration has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Saml => "saml",
        }
    }
}

/// What to compare with, beside going direct.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Peer {
    /// Plain nginx, without any authentication
    Nginx,
    /// Plain haproxy
    Haproxy,
    /// haproxy that passes bytes on and reads no HTTP: what a relay costs that does nothing else
    HaproxyTcp,
    /// Plain Envoy
    Envoy,
    /// nginx that asks a small service in Go about each request (`auth_request`), as oauth2-proxy's and Vouch's manuals
    /// have it: a new connection for each question
    AuthRequest,
    /// The same, with kept-alive connections to the service, which neither manual has
    AuthRequestKept,
    /// nginx that asks oauth2-proxy, as its manual has it; signed in
    AuthRequestOauth2Proxy,
    /// Envoy with its OAuth2 filter, signed in, and the filter that tells the app who is asking
    EnvoyOauth2,
    /// The same, with a cache of verified ID tokens, which it has not by itself
    EnvoyOauth2Cached,
    /// Envoy with its OAuth2 filter alone, signed in: the app is not told who is asking
    EnvoyOauth2Alone,
    /// Apache with mod_auth_openidc, signed in, sessions in shared memory
    ModAuthOpenidc,
    /// oauth2-proxy, signed in, session in the cookie
    Oauth2Proxy,
    /// oauth2-proxy, signed in, session in a Redis beside it
    Oauth2ProxyRedis,
    /// Nothing
    None,
    /// All of them
    All,
}

impl Peer {
    /// As results call it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::HaproxyTcp => "haproxy, bytes alone",
            Self::Envoy => "envoy",
            Self::AuthRequest => "nginx + auth_request",
            Self::AuthRequestKept => "nginx + auth_request kept alive",
            Self::AuthRequestOauth2Proxy => "nginx + oauth2-proxy",
            Self::EnvoyOauth2 => "envoy oauth2",
            Self::EnvoyOauth2Cached => "envoy oauth2 with a cache",
            Self::EnvoyOauth2Alone => "envoy oauth2 alone",
            Self::ModAuthOpenidc => "mod_auth_openidc",
            Self::Oauth2Proxy => "oauth2-proxy",
            Self::Oauth2ProxyRedis => "oauth2-proxy and redis",
            Self::None | Self::All => "",
        }
    }
}

/// Who writes a line for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessLog {
    /// Every proxy, into a file
    On,
    /// No proxy
    Off,
    /// The gateway alone
    Ours,
}

impl AccessLog {
    /// As results have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::On => "access logs on",
            Self::Off => "access logs off",
            Self::Ours => "access log of the gateway alone",
        }
    }
}

/// The processes that the test starts of itself.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Part {
    /// The app behind it
    #[command(hide = true)]
    App {
        /// Where to listen
        listen: SocketAddr,
        /// Bytes of each answer
        body: usize,
    },
    /// The load generator
    #[command(hide = true)]
    Generator {
        /// What it does, as JSON
        aim: String,
    },
}

/// What results are headed with.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = if self.http2 { "HTTP/2" } else { "HTTP/1.1" };
        let tls = if self.is_secure() { " with TLS" } else { "" };
        write!(f, "{version}{tls}, {}", counted(self.connections, "connection"))?;
        match self.work() {
            Work::Kept => {}
            Work::Multiplexed(streams) => write!(f, " of {streams} streams")?,
            Work::Rate(rate) => write!(f, ", {rate} requests a second by schedule")?,
            Work::Fresh => write!(f, ", each for one request")?,
            Work::Handshakes(Handshakes::Full) => write!(f, ", each for one full handshake")?,
            Work::Handshakes(Handshakes::Resumed) => write!(f, ", each for one resumed handshake")?,
            Work::Messages(_) => write!(f, " with WebSocket messages")?,
        }
        let (protocol, body) = (self.protocol.as_str(), self.body);
        let most = self.grow_sessions.iter().copied().filter(|_| self.growth).fold(self.sessions, usize::max);
        write!(f, ", {} by {protocol}, {body} byte bodies", counted(most, "session"))?;
        if self.upload > 0 {
            write!(f, ", {} byte uploads", self.upload)?;
        }
        write!(f, ", {}", counted(self.workers, "worker"))?;
        if self.pin {
            write!(f, ", proxies on a core of their own")?;
        }
        if let Some(before) = &self.before {
            write!(f, ", before: {}", before.display())?;
        }
        let (log, rounds) = (self.access_log.as_str(), counted(self.rounds, "round"));
        write!(f, ", {log}, {rounds} of {} s", self.seconds())
    }
}

/// So many of something, in words.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

impl Options {
    /// The same, as small as a smoke test.
    #[must_use]
    pub(crate) fn small(self) -> Self {
        Self {
            sessions: self.sessions.min(3),
            connections: 4,
            seconds: Some(0.1),
            rounds: 1,
            idle: self.idle.min(20),
            grow_sessions: vec![1, 3],
            grow_routes: vec![1, 3],
            grow_connections: vec![1, 4],
            smoke: true,
            ..self
        }
    }

    /// Seconds for each variant in each round.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(match (self.growth, &self.figures) {
            (true, _) => SECONDS_OF_GROWTH,
            (false, Some(_)) => SECONDS_OF_MANY,
            (false, None) => SECONDS,
        })
    }

    /// What is done over and over.
    pub(crate) fn work(&self) -> Work {
        match (self.rate, self.handshakes) {
            (Some(rate), _) => Work::Rate(rate),
            (_, Some(kind)) => Work::Handshakes(kind),
            _ if self.websocket => Work::Messages(self.body),
            _ if self.fresh => Work::Fresh,
            _ if self.http2 => Work::Multiplexed(self.streams),
            _ => Work::Kept,
        }
    }

    /// As many idle connections as asked for, or as a process may have here.
    pub(crate) fn idle_connections(&self) -> usize {
        self.idle.min(most_files().saturating_sub(500))
    }

    /// Where the proxies run.
    pub(crate) fn proxy_core(&self) -> Core {
        if self.pin { Core::Proxy } else { Core::Any }
    }

    /// Where everything else runs.
    pub(crate) fn rest_core(&self) -> Core {
        if self.pin { Core::Rest } else { Core::Any }
    }

    /// Whom to compare with, each once.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let all = Peer::value_variants().iter().copied().filter(|peer| !matches!(peer, Peer::None | Peer::All));
        // The app does not speak HTTP/2, and who passes bytes on cannot help it.
        let able = all.filter(|peer| !self.http2 || *peer != Peer::HaproxyTcp);
        able.filter(|peer| self.peer.contains(peer) || self.peer.contains(&Peer::All)).collect()
    }

    /// Whether the proxies are reached by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.tls || self.http2 || self.handshakes.is_some()
    }

    /// How many requests are under way at a time.
    pub(crate) fn in_flight(&self) -> usize {
        if self.http2 { self.connections * self.streams } else { self.connections }
    }

    /// How people would type the gateway's address. Nobody resolves it: connections go to a free port.
    pub(crate) fn origin(&self) -> &'static str {
        ORIGINS[usize::from(self.is_secure())]
    }

    /// Its host and port.
    pub(crate) fn authority(&self) -> &'static str {
        if self.is_secure() { "localhost:8443" } else { "localhost:8080" }
    }
}
