//! What the load test is told.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A load test of the whole gateway, against going direct and against its peers on this machine.
///
/// Everything runs on loopback, each part in a process of its own, in rounds that alternate between the variants;
/// the figures are medians over the rounds.
#[derive(Clone, Debug, Parser)]
#[command(name = "load")]
pub(crate) struct Options {
    /// Signed-in sessions; each request takes one at random
    #[arg(long, default_value_t = 1)]
    pub(crate) sessions: usize,
    /// Kept-alive connections of the load generator
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Seconds for each variant in each round
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,
    /// Rounds
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Bytes of an answer's body
    #[arg(long, default_value_t = 128)]
    pub(crate) body: usize,
    /// Worker threads of the gateway, worker processes of nginx
    #[arg(long, default_value_t = 1)]
    pub(crate) workers: usize,
    /// TLS between the load generator and the proxies
    #[arg(long)]
    pub(crate) tls: bool,
    /// HTTP/2 between the load generator and the proxies; implies --tls
    #[arg(long)]
    pub(crate) http2: bool,
    /// Requests at a time on each HTTP/2 connection
    #[arg(long, default_value_t = 8)]
    pub(crate) streams: usize,
    /// How people sign in
    #[arg(long, value_enum, default_value_t = Protocol::Oidc)]
    pub(crate) protocol: Protocol,
    /// What to compare with, separated by commas; `bash benches/peers` installs them
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Peer::Nginx])]
    pub(crate) peer: Vec<Peer>,
    /// The proxy alone on the first core, everything else on the second (needs taskset)
    #[arg(long)]
    pub(crate) pin: bool,
    /// Idle connections to measure memory with; 0 leaves it out
    #[arg(long, default_value_t = 1000)]
    pub(crate) idle: usize,
    /// The gateway's access log
    #[arg(long, value_enum, default_value_t = AccessLog::On)]
    pub(crate) access_log: AccessLog,
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
    /// Plain Envoy
    Envoy,
    /// nginx that asks a small service about each request (`auth_request`), as beside oauth2-proxy or Vouch
    AuthRequest,
    /// Envoy with its OAuth2 filter, signed in
    EnvoyOauth2,
    /// Apache with mod_auth_openidc, signed in, sessions in shared memory
    ModAuthOpenidc,
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
            Self::Envoy => "envoy",
            Self::AuthRequest => "nginx + auth_request",
            Self::EnvoyOauth2 => "envoy oauth2",
            Self::ModAuthOpenidc => "mod_auth_openidc",
            Self::None | Self::All => "",
        }
    }
}

/// Whether the gateway logs each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessLog {
    /// As it does by default
    On,
    /// No lines
    Off,
}

impl AccessLog {
    /// As the configuration has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// The processes that the test starts of itself.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Part {
    /// The gateway
    #[command(hide = true)]
    Gateway {
        /// Its gateway.toml
        config: PathBuf,
    },
    /// The app behind it
    #[command(hide = true)]
    App {
        /// Where to listen
        listen: SocketAddr,
        /// Bytes of each answer
        body: usize,
    },
    /// The small service that nginx asks
    #[command(hide = true)]
    Oracle {
        /// Where to listen
        listen: SocketAddr,
        /// A file with a `Cookie` line for each session that it knows
        cookies: PathBuf,
    },
    /// The load generator
    #[command(hide = true)]
    Generator(Aim),
}

/// What the load generator does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Aim {
    /// Where to connect to
    #[arg(long)]
    pub(crate) target: SocketAddr,
    /// What to call it
    #[arg(long)]
    pub(crate) authority: String,
    /// PEM of the certificate to trust; plain text without
    #[arg(long)]
    pub(crate) certificate: Option<PathBuf>,
    /// HTTP/2
    #[arg(long)]
    pub(crate) http2: bool,
    /// Connections
    #[arg(long)]
    pub(crate) connections: usize,
    /// Requests at a time on each
    #[arg(long)]
    pub(crate) streams: usize,
    /// How long
    #[arg(long)]
    pub(crate) seconds: f64,
    /// A file with a `Cookie` line for each session
    #[arg(long)]
    pub(crate) cookies: PathBuf,
}

impl Options {
    /// The same, as small as a smoke test.
    #[must_use]
    pub(crate) fn small(self) -> Self {
        Self { sessions: 3, connections: 4, seconds: 0.2, rounds: 1, idle: 20, ..self }
    }

    /// Whom to compare with, each once.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        let all = [Peer::Nginx, Peer::Haproxy, Peer::Envoy, Peer::AuthRequest, Peer::EnvoyOauth2, Peer::ModAuthOpenidc];
        all.into_iter().filter(|peer| self.peer.contains(peer) || self.peer.contains(&Peer::All)).collect()
    }

    /// Whether the proxies are reached by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.tls || self.http2
    }

    /// How many requests are under way at a time.
    pub(crate) fn in_flight(&self) -> usize {
        if self.http2 { self.connections * self.streams } else { self.connections }
    }

    /// How people would type the gateway's address. Nobody resolves it: connections go to a free port.
    pub(crate) fn origin(&self) -> &'static str {
        if self.is_secure() { "https://localhost:8443" } else { "http://localhost:8080" }
    }

    /// Its host and port.
    pub(crate) fn authority(&self) -> &'static str {
        if self.is_secure() { "localhost:8443" } else { "localhost:8080" }
    }
}
