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
        let mut browser = self.browser();
        let callback = browser.sign_in_until_callback(&self.at("/"), people::STANDARD.username).await;
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

impl Builder {
    /// Adds a provider of that name, with these lines beside those that it needs.
    pub fn beside(mut self, name: &'static str, what: Beside, lines: &str) -> Self {
        self.beside.push((name, what, lines.to_owned()));
        self
    }

    /// Adds lines to the top level of the configuration.
    pub fn top(mut self, toml: &str) -> Self {
        self.top.push_str(toml);
        self.top.push('\n');
        self
    }

    /// Adds whole tables.
    pub fn table(mut self, toml: &str) -> Self {
        self.tables.push_str(toml);
        self.tables.push('\n');
        self
    }

    /// Replaces the provider's lines beside address and credentials.
    pub fn provider(mut self, toml: &str) -> Self {
        self.provider = format!("{toml}\n");
        self
    }

    /// Replaces the routes; `{app}` becomes the app's authority.
    pub fn routes(mut self, toml: &str) -> Self {
        self.routes = Some(toml.to_owned());
        self
    }

    /// Changes the org before it starts.
    pub fn org(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.org);
        self
    }

    /// Points the gateway at another of the org's addresses.
    pub fn base(mut self, base: Base) -> Self {
        self.base = base;
        self
    }

    /// Has the org misbehave from before the gateway first asks it.
    pub fn mischief(mut self, mischief: Mischief) -> Self {
        self.mischief = Some(mischief);
        self
    }

    /// Adds a public host beside `localhost`, such as `other.localhost`: its port is the front door's.
    pub fn host(mut self, host: &'static str) -> Self {
        self.hosts.push(host);
        self
    }

    /// `https://localhost`, with a certificate made for this world.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Adds lines to `[tls]`.
    pub fn tls_lines(mut self, toml: &str) -> Self {
        self.tls_lines.push_str(toml);
        self.tls_lines.push('\n');
        self.tls()
    }

    /// One more certificate, in `NAME.crt` and `NAME.key` of the world's folder.
    pub fn certificate(mut self, name: &'static str, hosts: &'static [&'static str]) -> Self {
        self.certificates.push((name, hosts));
        self.tls()
    }

    /// Demands client certificates that this one (PEM) has signed; it lies in `clients.crt`.
    pub fn client_ca(mut self, pem: &str) -> Self {
        self.client_ca = Some(pem.to_owned());
        self.tls()
    }

    /// By SAML instead of OpenID Connect.
    pub fn saml(mut self) -> Self {
        let lines = format!("organization = \"{}\"\n", people::HOME_ORGANIZATION);
        let (binding, source) = (Binding::Redirect, Source::Pinned);
        self.saml = Some(Saml { binding, lines, source, key: false, logout: None });
        self
    }

    fn with_saml(mut self, change: impl FnOnce(&mut Saml)) -> Self {
        if self.saml.is_none() {
            self = self.saml();
        }
        if let Some(saml) = &mut self.saml {
            change(saml);
        }
        self
    }

    /// Adds lines to the provider for SAML.
    pub fn saml_lines(self, toml: &str) -> Self {
        self.with_saml(|saml| saml.lines = format!("{}{toml}\n", saml.lines))
    }

    /// Replaces the organization's line.
    pub fn saml_organization(self, toml: &str) -> Self {
        self.with_saml(|saml| saml.lines = format!("{toml}\n"))
    }

    /// Sends people to the org by another binding.
    pub fn saml_binding(self, binding: Binding) -> Self {
        self.with_saml(|saml| saml.binding = binding)
    }

    /// Takes trust from the org's metadata.
    pub fn saml_metadata(self) -> Self {
        self.with_saml(|saml| saml.source = Source::Metadata)
    }

    /// Gives the gateway a key of its own, whose certificate the org knows.
    pub fn saml_key(self) -> Self {
        self.with_saml(|saml| saml.key = true)
    }

    /// Single logout on both sides; `binding` is how the org sends.
    pub fn saml_logout(self, binding: Binding) -> Self {
        self.with_saml(|saml| (saml.key, saml.logout) = (true, Some(binding)))
    }

    /// Replaces the front door's places, in TOML; `{port}` becomes the public address's.
    pub fn listen(mut self, toml: &str) -> Self {
        self.listen = toml.to_owned();
        self
    }

    /// The lines of `[operator]`; a port is found unless they say where.
    pub fn operator(mut self, toml: &str) -> Self {
        self.operator = toml.to_owned();
        self
    }

    /// So many threads.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    pub async fn start(self) -> World {
        self.try_start().await.expect("the gateway starts")
    }

    /// Starts, or says why the gateway does not.
    pub async fn try_start(self) -> Result<World, String> {
        let org = Emulator::start(self.org.clone()).await.expect("the org starts");
        let app = App::start();
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let scheme = if self.tls { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{port}");
        for host in &self.hosts {
            org.register(format!("{scheme}://{host}:{port}/.portcullis/callback"));
        }
        if let Some(mischief) = self.mischief {
            org.set(mischief);
        }
        let address = match self.base {
            Base::MyDomain => org.org_url(),
            Base::Login => org.login_url(),
            Base::Site => org.site_url(),
        };
        let settings = org.app();
        let routes = self.routes.clone().unwrap_or_else(|| "[[route]]\nupstream = \"http://{app}\"\n".to_owned());
        let (tls_table, tls) = if self.tls { self.make_tls(&directory) } else { (String::new(), None) };
        let secret = if self.provider.contains("client_authentication") {
            String::new()
        } else {
            format!("client_secret = \"{}\"\n", settings.client_secret)
        };
        let provider = match &self.saml {
            None => format!(
                "protocol = \"oidc\"\norg = \"{address}\"\nclient_id = \"{}\"\n{secret}{}",
                settings.client_id, self.provider
            ),
            Some(saml) => saml.provider("salesforce", &org, &url, address, &directory),
        };
        let mut others = Vec::new();
        let mut beside = String::new();
        // Which of the other orgs each provider has, if not the first one's.
        let mut places: Vec<Option<usize>> = vec![None];
        for (name, what, lines) in self.beside {
            let (settings, by_saml) = match what {
                Beside::SameBySaml => (None, Some(Saml::beside(None))),
                Beside::Oidc(settings) => (Some(settings), None),
                Beside::Saml(settings) => (Some(settings), Some(Saml::beside(Some(Binding::Redirect)))),
            };
            places.push(settings.is_some().then_some(others.len()));
            if let Some(settings) = settings {
                others.push(Emulator::start(settings).await.expect("the other org starts"));
            }
            let org = places.last().copied().flatten().map_or(&org, |place| &others[place]);
            let (at, app) = (org.org_url(), org.app());
            let needed = match by_saml {
                Some(saml) => saml.provider(name, org, &url, at, &directory),
                None => format!(
                    "org = \"{at}\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\n",
                    app.client_id, app.client_secret
                ),
            };
            beside.push_str(&format!("[provider.{name}]\n{needed}{lines}\n"));
        }
        let toml = format!(
            "public_url = \"{url}\"\nlisten = {}\nworkers = {}\ndrain = \"2s\"\n{}\n\
             [provider.salesforce]\n{provider}\n{beside}\n\
             [operator]\n{}{}\n[log]\naccess = \"off\"\n{tls_table}\n{}\n{}",
            self.listen.replace("{port}", &port.to_string()),
            self.workers,
            self.top,
            if self.operator.contains("listen") { "" } else { "listen = \"127.0.0.1:0\"\n" },
            self.operator,
            self.tables,
            routes.replace("{app}", &app.authority),
        );
        let config =
            file::read(&toml, "the test's gateway.toml", &[]).unwrap_or_else(|problems| panic!("{problems}\n{toml}"));
        if places.len() > 1 {
            introduce(&config, |index| places[index].map_or(&org, |place| &others[place]));
        }
        let gateway = gateway::start(config).await.map_err(|problem| problem.to_string())?;
        let speaks_saml = self.saml.is_some();
        Ok(World { org, others, app, gateway, url, tls, speaks_saml, directory })
    }
}

/// Tells the org of each provider, by its place, where the gateway wants its answers.
fn introduce<'a>(config: &Config, org: impl Fn(usize) -> &'a emulator::Running) {
    for (index, entry) in config.providers.iter().enumerate() {
        for callback in config.callbacks(entry) {
            match &entry.settings {
                identity::Settings::Oidc(_) => org(index).register(callback),
                identity::Settings::Saml(setup) => org(index).register_saml(setup.entity_id.clone(), callback),
            }
        }
        let logout = entry.paths().logout.map(|path| format!("{}{}{path}", config.origins[0], config.prefix));
        org(index).configure(|app| {
            if let (Some(there), Some(url)) = (&mut app.saml.single_logout, logout) {
                there.url = url;
            }
        });
    }
}

impl Builder {
    fn make_tls(&self, directory: &tempfile::TempDir) -> (String, Option<Arc<rustls::ClientConfig>>) {
        let folder = directory.path();
        let mut roots = rustls::RootCertStore::empty();
        let mut pair = |name: &str, hosts: &[&str]| {
            roots.add(write_pair(folder, name, hosts)).unwrap();
            let path = |end| folder.join(format!("{name}.{end}")).display().to_string();
            format!("certificate = {:?}\nprivate_key = {:?}\n", path("crt"), path("key"))
        };
        let mut table = format!("[tls]\n{}", pair("main", &["localhost"]));
        table.push_str(&self.tls_lines.replace("{folder}", &folder.display().to_string()));
        if let Some(pem) = &self.client_ca {
            let file = folder.join("clients.crt");
            std::fs::write(&file, pem).unwrap();
            table.push_str(&format!("client_ca = {:?}\n", file.display().to_string()));
        }
        for (name, hosts) in &self.certificates {
            table.push_str(&format!("[[tls.more]]\n{}", pair(name, hosts)));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (table, Some(Arc::new(client)))
    }
}

impl Saml {
    /// A provider beside the first.
    fn beside(logout: Option<Binding>) -> Self {
        let (binding, source) = (Binding::Redirect, Source::Pinned);
        Self { binding, lines: String::new(), source, key: logout.is_some(), logout }
    }

    /// Sets the org up for the gateway at `url`, and writes the provider that fits.
    fn provider(
        &self,
        name: &str,
        org: &emulator::Running,
        url: &str,
        address: &str,
        directory: &tempfile::TempDir,
    ) -> String {
        let path = |file: &str| directory.path().join(format!("{name}-{file}")).display().to_string();
        let write = |file: &str, text: &str| std::fs::write(path(file), text).unwrap();
        org.register_saml(format!("{url}/.portcullis/saml/metadata"), format!("{url}/.portcullis/saml/acs"));
        let mut lines = self.lines.replace("{org}", org.org_url());
        if self.key {
            let (key, certificate) = our_key();
            write("saml.key", key);
            write("saml.crt", certificate);
            lines.push_str(&format!("request_key = {{ file = {:?} }}\n", path("saml.key")));
            lines.push_str(&format!("request_certificate = {:?}\n", path("saml.crt")));
            org.configure(|app| app.saml.request_certificate = Some(certificate.clone()));
        }
        let (word, end) = match self.binding {
            Binding::Redirect => ("redirect", HTTP_REDIRECT),
            Binding::Post => ("post", HTTP_POST),
        };
        lines.push_str(&format!("binding = \"{word}\"\n"));
        if let Some(binding) = self.logout {
            let logout = SingleLogout { url: format!("{url}/.portcullis/saml/logout"), binding };
            org.configure(|app| app.saml.single_logout = Some(logout));
        }
        match self.source {
            Source::Metadata => lines.push_str(&format!("metadata = \"{}{METADATA}\"\n", org.org_url())),
            Source::Pinned => {
                write("org.crt", &org.certificate());
                if self.logout.is_some() {
                    lines.push_str(&format!("slo_url = \"{address}{LOGOUT}\"\n"));
                }
                lines.push_str(&format!(
                    "issuer = \"{}\"\nsso_url = \"{address}{end}\"\ncertificate = {:?}\n",
                    org.org_url(),
                    path("org.crt")
                ));
            }
        }
        format!("protocol = \"saml\"\n{lines}")
    }
}

/// The gateway's own key and its certificate, made once for all worlds of this process.
fn our_key() -> &'static (String, String) {
    static KEY: OnceLock<(String, String)> = OnceLock::new();
    KEY.get_or_init(|| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let made = rcgen::CertificateParams::new(["gateway.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        (key.serialize_pem(), made.pem())
    })
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
