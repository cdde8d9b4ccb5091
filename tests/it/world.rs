//! A whole world on loopback: pretend org, app that knows nothing, real gateway; one call to build.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use portcullis::config::{Config, file};
use portcullis::emulator::saml::app::{Binding, SingleLogout};
use portcullis::emulator::saml::{HTTP_POST, HTTP_REDIRECT, LOGOUT, METADATA};
use portcullis::emulator::settings::{KeySize, Settings};
use portcullis::emulator::{self, Emulator, KeyRing, Mischief, people};
use portcullis::gateway::{self, Running};
use portcullis::identity;
use rustls::pki_types::CertificateDer;

use crate::app::App;
use crate::browser::Browser;

mod builder;
mod saml;

/// What a world is made of. Dropped, it is gone.
pub struct World {
    pub org: emulator::Running,
    /// The orgs of providers beside the first, where they have one of their own.
    pub others: Vec<emulator::Running>,
    pub app: App,
    pub gateway: Running,
    /// The gateway's public address, without a trailing slash.
    pub url: String,
    tls: Option<Arc<rustls::ClientConfig>>,
    speaks_saml: bool,
    directory: tempfile::TempDir,
}

/// How to make one.
pub struct Builder {
    /// Lines of the top level.
    top: String,
    /// Tables.
    tables: String,
    provider: String,
    routes: Option<String>,
    org: Settings,
    mischief: Option<Mischief>,
    hosts: Vec<&'static str>,
    tls: bool,
    /// Lines of `[tls]`; `{folder}` becomes the world's.
    tls_lines: String,
    /// Further certificates: the name of their files, and whom they are for.
    certificates: Vec<(&'static str, &'static [&'static str])>,
    /// Who signs the certificates of clients.
    client_ca: Option<String>,
    base: Base,
    saml: Option<Saml>,
    beside: Vec<(&'static str, Beside, String)>,
    listen: String,
    workers: usize,
    operator: String,
}

/// A provider beside the first.
pub enum Beside {
    /// The same org, by SAML.
    SameBySaml,
    /// Another org.
    Oidc(Settings),
    /// Another org by SAML, with single logout.
    Saml(Settings),
}

/// How the gateway is set up for SAML.
struct Saml {
    binding: Binding,
    /// Lines beside those that every SAML provider has here.
    lines: String,
    source: Source,
    /// Whether the gateway has a key of its own.
    key: bool,
    logout: Option<Binding>,
}

/// Where the gateway has its trust from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Issuer, address and certificate.
    Pinned,
    /// Metadata at the org.
    Metadata,
}

/// Which of the org's addresses the gateway is given.
#[derive(Clone, Copy)]
pub enum Base {
    MyDomain,
    Login,
    Site,
}

/// The keys, made once for all worlds of this process: making them takes a while.
pub fn keys() -> Arc<KeyRing> {
    static RING: OnceLock<Arc<KeyRing>> = OnceLock::new();
    Arc::clone(RING.get_or_init(|| KeyRing::generate(KeySize::Small).expect("keys can be made")))
}

/// The same for another org.
pub fn other_keys() -> Arc<KeyRing> {
    static RING: OnceLock<Arc<KeyRing>> = OnceLock::new();
    Arc::clone(RING.get_or_init(|| KeyRing::generate(KeySize::Small).expect("keys can be made")))
}

impl World {
    /// The ordinary world: `http://localhost`, one closed route.
    pub async fn new() -> Self {
        Self::with().start().await
    }

    pub fn with() -> Builder {
        Builder {
            top: String::new(),
            tables: String::new(),
            provider: format!("organizations = [\"{}\"]\n", people::HOME_ORGANIZATION),
            routes: None,
            org: Settings { keys: Some(keys()), ..Settings::default() },
            mischief: None,
            hosts: vec!["localhost"],
            tls: false,
            tls_lines: String::new(),
            certificates: Vec::new(),
            client_ca: None,
            base: Base::MyDomain,
            saml: None,
            beside: Vec::new(),
            listen: "\"127.0.0.1:{port}\"".to_owned(),
            workers: 1,
            operator: String::new(),
        }
    }

    /// An absolute address of the gateway.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// A browser that trusts this world's certificate.
    pub fn browser(&self) -> Browser {
        let mut browser = self.tls.clone().map_or_else(Browser::new, Browser::trusting);
        browser.speaks_saml = self.speaks_saml;
        browser
    }

    /// A browser that has signed in as the standard user.
    pub async fn signed_in(&self) -> Browser {
        let mut browser = self.browser();
        let reply = browser.sign_in(&self.at("/"), people::STANDARD.username).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        browser
    }

    /// What trusts this world's certificate; only a world with TLS has it.
    pub fn tls(&self) -> Arc<rustls::ClientConfig> {
        self.tls.clone().expect("a world with TLS")
    }

    /// The name of the session cookie here.
    pub fn session_cookie(&self) -> &'static str {
        if self.tls.is_some() { "__Host-portcullis" } else { "portcullis" }
    }

    /// The host that this world's cookies belong to.
    pub fn host(&self) -> &'static str {
        "localhost"
    }

    /// The `Cookie` line of somebody who has just signed in, for requests that no browser sends.
    pub async fn ticket(&self) -> String {
        self.ticket_by("/").await
    }

    /// The same, by way of this closed page.
    pub async fn ticket_by(&self, page: &str) -> String {
        let mut browser = self.browser();
        let callback = browser.sign_in_until_callback(&self.at(page), people::STANDARD.username).await;
        let reply = browser.get(callback).await;
        assert_eq!(reply.status, 303, "{}", reply.body);
        let name = self.session_cookie();
        format!("{name}={}", browser.cookie(self.host(), name).expect("a session"))
    }

    /// Host and port of the front door.
    pub fn authority(&self) -> &str {
        self.url.split_once("://").expect("an address").1
    }

    /// Where its files are; `main.crt` and `main.key` are what `[tls]` names.
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// What trusts this world's certificate.
    pub fn trust(&self) -> Option<Arc<rustls::ClientConfig>> {
        self.tls.clone()
    }

    /// The value of one of the gateway's metrics; 0 while it has never counted.
    pub async fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |count| count.parse().expect("a count"))
    }

    /// The gateway's metrics.
    pub async fn metrics(&self) -> String {
        let address = self.gateway.operator_address.expect("an operator's listener");
        let mut browser = Browser::new();
        browser.fetch(hyper::Method::GET, format!("http://{address}/metrics"), &[], "").await.body
    }
}

/// A loopback port that nobody listens on: the public address must name it before the gateway has bound it.
///
/// Below the ports that the system gives away by itself, and each once, so that nobody takes it in between.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = (std::process::id() * 97 + GIVEN.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = 20_000 + u16::try_from(number).expect("a small number");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A new certificate for these hosts and its key, in `NAME.crt` and `NAME.key` of a folder.
pub fn write_pair(folder: &Path, name: &str, hosts: &[&str]) -> CertificateDer<'static> {
    let made =
        rcgen::generate_simple_self_signed(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.crt")), made.cert.pem()).unwrap();
    made.cert.der().clone()
}
