//! Pebble, the ACME server that Let's Encrypt tests with, and its DNS server, in which every name is this machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use portcullis::http::client::Client;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::authority::Authority;
use crate::stage::{PATIENCE, until};
use crate::world::free_port;

/// A Pebble and everything that it needs; gone when it is dropped.
pub struct Pebble {
    authority: Authority,
    directory: tempfile::TempDir,
    port: u16,
    management: u16,
    /// Where the hosts are looked for.
    hosts: u16,
    dns: u16,
    /// Where they are asked for in plain HTTP.
    pub plain: u16,
    /// More lines of `[tls.acme]`.
    pub lines: String,
    /// How long its certificates live, in seconds.
    life: u32,
    /// How many good questions in a hundred it refuses, which clients then have to repeat.
    pub refused: u32,
    running: Vec<Child>,
}

/// Where `tests/run` puts it, for who has Go.
fn program(name: &str) -> Option<PathBuf> {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/pebble");
    let pebble = std::env::var_os("TEST_PEBBLE").map_or_else(built, PathBuf::from);
    let program = pebble.with_file_name(name);
    program.exists().then_some(program)
}

impl Pebble {
    /// One that is not running yet and looks for hosts at that port; none where it was not built.
    pub fn new(hosts: u16, life: u32) -> Option<Self> {
        if program("pebble").is_none() {
            eprintln!("left out: Pebble is built where Go is installed, by tests/run");
            return None;
        }
        let (port, management, dns) = (free_port(), free_port(), free_port());
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        Some(Self {
            authority,
            directory,
            port,
            management,
            hosts,
            dns,
            plain: 1,
            lines: String::new(),
            life,
            refused: 0,
            running: Vec::new(),
        })
    }

    /// Starts it, with nothing in its memory.
    pub async fn start(&mut self) {
        let own = self.authority.issue(&["localhost"], |_| {});
        let profile = serde_json::json!({"description": "the only one", "validityPeriod": self.life});
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": own.certificate,
            "privateKey": own.private_key,
            "httpPort": self.plain,
            "tlsPort": self.hosts,
            "keyAlgorithm": "ecdsa",
            "retryAfter": {"authz": 1, "order": 1},
            "profiles": {"default": profile},
        }});
        let path = self.directory.path().join("pebble.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let dns = format!("127.0.0.1:{}", self.dns);
        let mut names = Command::new(program("pebble-challtestsrv").expect("it is built with Pebble"));
        names.args(["-dnsserver", &dns, "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]);
        names.args(["-management", "127.0.0.1:0", "-defaultIPv6", ""]);
        let mut pebble = Command::new(program("pebble").unwrap());
        pebble.arg("-config").arg(&path).args(["-dnsserver", &dns]);
        // Without the pause in which people would look.
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        pebble.env("PEBBLE_WFE_NONCEREJECT", self.refused.to_string());
        for (mut command, name, port) in [(names, "names", self.dns), (pebble, "pebble", self.port)] {
            let log = File::create(self.directory.path().join(format!("{name}.log"))).unwrap();
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            self.running.push(command.spawn().unwrap());
            until(name, || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() }).await;
        }
    }

    /// Ends it, with everything that it knew.
    pub fn stop(&mut self) {
        for mut child in self.running.drain(..) {
            _ = child.kill();
            _ = child.wait();
        }
    }

    /// The lines of `[tls.acme]` for it.
    pub fn toml(&self) -> String {
        format!(
            "[tls.acme]\ndirectory = \"https://localhost:{}/dir\"\naccept_terms = true\nfolder = {:?}\nca = {:?}\n{}",
            self.port,
            self.folder(),
            self.authority.file(),
            self.lines,
        )
    }

    /// Where certificates are kept.
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// The folder of its own in there.
    pub fn own_folder(&self) -> PathBuf {
        self.folder().join(format!("localhost%3A{}_dir", self.port))
    }

    /// Has it want this certificate to be renewed now.
    pub async fn hurry(&self, certificate: &str) {
        let window =
            serde_json::json!({"suggestedWindow": {"start": "2001-01-01T00:00:00Z", "end": "2001-01-02T00:00:00Z"}});
        let body = serde_json::json!({"Certificate": certificate, "ARIResponse": window.to_string()}).to_string();
        let client = Client::new(PATIENCE, Some(&self.authority.file())).unwrap();
        let address = format!("https://localhost:{}/set-renewal-info/", self.management);
        let answer = client.send(hyper::Request::post(address).body(body.into_bytes()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200, "{:?}", String::from_utf8_lossy(answer.body()));
    }

    /// Whom those believe who believe it.
    pub async fn roots(&self) -> RootCertStore {
        let client = Client::new(PATIENCE, Some(&self.authority.file())).unwrap();
        let address = format!("https://localhost:{}/roots/0", self.management);
        let answer = client.send(hyper::Request::get(address).body(Vec::new()).unwrap()).await.unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(answer.body()).unwrap()).unwrap();
        roots
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}
