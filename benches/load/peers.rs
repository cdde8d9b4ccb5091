//! The proxies that people know, each doing the same work beside us.
//!
//! nginx, haproxy and Envoy as plain proxies check nothing; the others have a signed-in visitor: they went through
//! their own sign-in at the same pretend org. What is not installed is left out, and said so.

mod apache;
mod envoy;
mod haproxy;
mod nginx;
mod oauth2_proxy;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use hyper::header::{COOKIE, LOCATION};
use hyper::{Method, StatusCode};
use portcullis::emulator::people::STANDARD;

use self::envoy::{Filter, Tokens};
use super::app::WHO;
use super::options::{AccessLog, Options, Peer};
use super::process::{Core, Server, command, free_address};
use super::stage::{Door, Scene, Stage};
use super::walk::{Walker, cookies};

/// The service that nginx asks about each request: `bash benches/peers` builds it, when there is Go.
const ORACLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/oracle");

/// Whom it knows.
const ORACLES: &str = "somebody@example.com";

/// Where oauth2-proxy can keep its sessions.
const REDIS: &str = "redis-server";

/// A peer at work.
pub(crate) struct Rival {
    /// Which.
    pub(crate) peer: Peer,
    /// Its processes.
    pub(crate) server: Server,
    /// The visitor's cookies at this peer, a file with a line for each session; `None`: it asks for none, or for ours.
    pub(crate) cookies: Option<PathBuf>,
    first: Option<String>,
    /// CPU time of one sign-in, in microseconds, where the peer has sign-ins of its own.
    pub(crate) sign_in_micros: Option<f64>,
}

impl Scene<'_> {
    /// Whether peers write an access log: where.
    fn log(&self) -> Option<PathBuf> {
        (self.options.access_log == AccessLog::On).then(|| self.folder.join("access.log"))
    }
}

/// Whether a peer's programs are there. If not, it says so.
pub(crate) fn is_installed(peer: Peer) -> bool {
    let programs = match peer {
        Peer::Nginx => &[("nginx", "-v")][..],
        // The second tells how it is used, and ends.
        Peer::AuthRequest | Peer::AuthRequestKept => &[("nginx", "-v"), (ORACLE, "--version")],
        Peer::AuthRequestOauth2Proxy => &[("nginx", "-v"), (oauth2_proxy::PROGRAM, "--version")],
        Peer::Haproxy | Peer::HaproxyTcp => &[("haproxy", "-v")],
        Peer::Envoy | Peer::EnvoyOauth2 | Peer::EnvoyOauth2Cached | Peer::EnvoyOauth2Alone => {
            &[(envoy::PROGRAM, "--version")]
        }
        Peer::ModAuthOpenidc => &[(apache::PROGRAM, "-v")],
        Peer::Oauth2Proxy => &[(oauth2_proxy::PROGRAM, "--version")],
        Peer::Oauth2ProxyRedis => &[(oauth2_proxy::PROGRAM, "--version"), (REDIS, "--version")],
        Peer::None | Peer::All => return false,
    };
    let runs = |(program, version): &(&str, &str)| {
        Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let there = programs.iter().all(runs);
    if !there {
        eprintln!("{} is not installed: no comparison with it (bash benches/peers installs it).", peer.as_str());
    }
    there
}

/// The command that starts a peer, and what has to be there before; `ours` names the visitors that it may know.
pub(crate) fn arrange(peer: Peer, scene: &Scene<'_>, ours: &Path) -> anyhow::Result<(Command, Option<Server>)> {
    let core = scene.options.proxy_core();
    let program = match peer {
        Peer::Haproxy | Peer::HaproxyTcp => "haproxy",
        Peer::Envoy | Peer::EnvoyOauth2 | Peer::EnvoyOauth2Cached | Peer::EnvoyOauth2Alone => envoy::PROGRAM,
        Peer::ModAuthOpenidc => apache::PROGRAM,
        Peer::Oauth2Proxy | Peer::Oauth2ProxyRedis => oauth2_proxy::PROGRAM,
        Peer::Nginx
        | Peer::AuthRequest
        | Peer::AuthRequestKept
        | Peer::AuthRequestOauth2Proxy
        | Peer::None
        | Peer::All => "nginx",
    };
    let mut process = command(core, program.as_ref());
    let mut companion = None;
    match peer {
        Peer::AuthRequest => {
            let oracle = start_oracle(core, ours)?;
            nginx::arrange(&mut process, scene, nginx::Asks::Oracle(oracle.address))?;
            companion = Some(oracle);
        }
        Peer::AuthRequestKept => {
            let oracle = start_oracle(core, ours)?;
            nginx::arrange(&mut process, scene, nginx::Asks::OracleKept(oracle.address))?;
            companion = Some(oracle);
        }
        Peer::AuthRequestOauth2Proxy => {
            let address = free_address()?;
            let mut asked = command(core, oauth2_proxy::PROGRAM.as_ref());
            oauth2_proxy::arrange(&mut asked, scene, oauth2_proxy::Role::Asked(address))?;
            companion = Some(Server::start(asked, address)?);
            nginx::arrange(&mut process, scene, nginx::Asks::Oauth2Proxy(address))?;
        }
        Peer::Haproxy => haproxy::arrange(&mut process, scene, haproxy::Reads::Http)?,
        Peer::HaproxyTcp => haproxy::arrange(&mut process, scene, haproxy::Reads::Nothing)?,
        Peer::Envoy => envoy::arrange(&mut process, scene, Filter::None)?,
        Peer::EnvoyOauth2 => envoy::arrange(&mut process, scene, Filter::Identity(Tokens::Verified))?,
        Peer::EnvoyOauth2Cached => envoy::arrange(&mut process, scene, Filter::Identity(Tokens::Cached))?,
        Peer::EnvoyOauth2Alone => envoy::arrange(&mut process, scene, Filter::OAuth2)?,
        Peer::ModAuthOpenidc => apache::arrange(&mut process, scene)?,
        Peer::Oauth2Proxy => oauth2_proxy::arrange(&mut process, scene, oauth2_proxy::Role::Alone)?,
        Peer::Oauth2ProxyRedis => {
            let address = free_address()?;
            let mut redis = command(core, REDIS.as_ref());
            redis.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
            redis.args(["--save", "", "--appendonly", "no"]).arg("--dir").arg(&scene.folder);
            companion = Some(Server::start(redis, address)?);
            oauth2_proxy::arrange(&mut process, scene, oauth2_proxy::Role::WithRedis(address))?;
        }
        Peer::Nginx | Peer::None | Peer::All => nginx::arrange(&mut process, scene, nginx::Asks::Nobody)?,
    }
    Ok((process, companion))
}

/// The service that nginx asks; `ours` names the visitors that it may know.
fn start_oracle(core: Core, ours: &Path) -> anyhow::Result<Server> {
    let address = free_address()?;
    let mut oracle = command(core, ORACLE.as_ref());
    oracle.arg(address.to_string()).arg(ours);
    Server::start(oracle, address)
}

/// Where a visitor begins, at peers that have sign-ins of their own.
fn entrance(peer: Peer) -> Option<&'static str> {
    match peer {
        Peer::EnvoyOauth2
        | Peer::EnvoyOauth2Cached
        | Peer::EnvoyOauth2Alone
        | Peer::ModAuthOpenidc
        | Peer::Oauth2Proxy
        | Peer::Oauth2ProxyRedis => Some("/"),
        // From anywhere else nginx leads there, on behalf of oauth2-proxy.
        Peer::AuthRequestOauth2Proxy => Some("/oauth2/start"),
        _ => None,
    }
}

/// Where peers are sent back to by the org.
pub(crate) fn callbacks(origin: &str) -> [String; 3] {
    [apache::CALLBACK, envoy::CALLBACK, oauth2_proxy::CALLBACK].map(|path| format!("{origin}{path}"))
}

impl Rival {
    /// Starts `peer` before the same app, signs in where it demands that, and makes sure that it does what it is
    /// here for. `None` when it is not installed.
    pub(crate) async fn start(
        peer: Peer,
        options: &Options,
        stage: &Stage<'_>,
        ours: &Path,
    ) -> anyhow::Result<Option<Self>> {
        if !is_installed(peer) {
            return Ok(None);
        }
        let scene = stage.scene(options, peer.as_str())?;
        let (process, companion) = arrange(peer, &scene, ours)?;
        let mut server = Server::start(process, scene.listen)?;
        if let Some(companion) = companion {
            server.join(companion);
        }
        let door = stage.door(options, &server);
        let mut rival = Self { peer, server, cookies: None, first: None, sign_in_micros: None };
        if let Some(entrance) = entrance(peer) {
            let mut walker = Walker::arrive(stage.org.org_url()).await?;
            let attempt = || format!("signing in at {}", peer.as_str());
            let found = sign_in(&door, entrance, &mut walker).await.with_context(attempt)?;
            let before = rival.server.cpu()?;
            // As many as we have sessions, but no more than a figure needs.
            let count = options.sessions.min(200);
            for _ in 0..count {
                sign_in(&door, entrance, &mut walker).await.with_context(attempt)?;
            }
            rival.sign_in_micros = Some(super::micros_each(rival.server.cpu()? - before, count as u64));
            let file = scene.folder.join("cookies");
            fs::write(&file, format!("{found}\n"))?;
            rival.cookies = Some(file);
            rival.first = Some(found);
        }
        let ours = fs::read_to_string(ours)?;
        rival.check(&door, rival.first_cookie(ours.lines().next().unwrap_or_default())).await?;
        Ok(Some(rival))
    }

    /// The cookies of one visitor; `ours` where the peer asks for none of its own.
    pub(crate) fn first_cookie<'a>(&'a self, ours: &'a str) -> &'a str {
        self.first.as_deref().unwrap_or(ours)
    }

    /// With a session the app answers, and was told who is asking; without one it is not reached, unless the peer
    /// checks nothing.
    async fn check(&self, door: &Door, cookie: &str) -> anyhow::Result<()> {
        let mut line = door.open().await?;
        let (status, _, who) = line.ask(Method::GET, WHO, &[(COOKIE.as_str(), cookie)], String::new()).await?;
        if status != StatusCode::OK {
            bail!("{}: signed in, and answered {status}", self.peer.as_str());
        }
        let (status, ..) = line.ask(Method::GET, WHO, &[], String::new()).await?;
        let checks = !matches!(self.peer, Peer::Nginx | Peer::Haproxy | Peer::HaproxyTcp | Peer::Envoy);
        if (checks && self.peer != Peer::EnvoyOauth2Alone) != names_visitor(&who) {
            bail!("{}: signed in, and the app is told {who:?}", self.peer.as_str());
        }
        if checks == (status == StatusCode::OK) {
            bail!("{}: not signed in, and answered {status}", self.peer.as_str());
        }
        Ok(())
    }
}

/// Whether the app was told who signed in, by whichever name.
fn names_visitor(who: &[u8]) -> bool {
    let who = String::from_utf8_lossy(who);
    [STANDARD.user, STANDARD.username, STANDARD.email, ORACLES].iter().any(|name| who.contains(name))
}

/// As a browser does it: sent to the org, back to the peer's callback, and whatever it sets on the way.
async fn sign_in(door: &Door, entrance: &str, walker: &mut Walker) -> anyhow::Result<String> {
    let mut line = door.open().await?;
    let mut jar: Vec<String> = Vec::new();
    let accept = ("accept", "text/html");
    let (status, headers, _) = line.ask(Method::GET, entrance, &[accept], String::new()).await?;
    keep(&mut jar, cookies(&headers));
    let location = headers.get(LOCATION).with_context(|| format!("no way to sign in, but {status}"))?;
    let (left, _) = walker.walk(location.to_str()?).await?;
    let attempt = (COOKIE.as_str(), &*jar.join("; "));
    let path = &left[url::Position::BeforePath..];
    let (status, headers, page) = line.ask(Method::GET, path, &[accept, attempt], String::new()).await?;
    if !status.is_redirection() {
        bail!("the org's answer was answered {status}: {}", String::from_utf8_lossy(&page));
    }
    keep(&mut jar, cookies(&headers));
    Ok(jar.join("; "))
}

/// A later cookie of a name takes the earlier one's place; an emptied one goes.
fn keep(jar: &mut Vec<String>, new: impl Iterator<Item = String>) {
    for cookie in new {
        let Some((name, value)) = cookie.split_once('=') else { continue };
        jar.retain(|old| old.split('=').next() != Some(name));
        if !matches!(value, "" | "deleted") {
            jar.push(cookie);
        }
    }
}
