//! Certificates that are ordered: the program itself, beside an authority that somebody else wrote.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rcgen::ExtendedKeyUsagePurpose::ClientAuth;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::authority::Authority;
use crate::browser::Browser;
use crate::check::{Bench, PROGRAM, Process};
use crate::gullible::{Gullible, SCHEMES};
use crate::listeners::exchange;
use crate::pebble::Pebble;
use crate::stage::{PATIENCE, soon, until};
use crate::world::free_port;

mod proof;

const HOST: &str = "wiki.example.com";

/// As long as real ones.
const LONG: u32 = 90 * 86_400;
/// Renewed about ten seconds after it was ordered.
const SHORT: u32 = 15;

/// A gateway's surroundings, at `https://wiki.example.com`.
struct Site {
    bench: Bench,
    port: u16,
    pebble: Pebble,
    /// Further tables, before `[tls.acme]`.
    tables: String,
}

impl Site {
    /// None where there is no Pebble. It looks for hosts at the gateway's port, or at another.
    async fn new(life: u32, elsewhere: Option<u16>) -> Option<Self> {
        let bench = Bench::new().await;
        let port = bench.url.rsplit(':').next().unwrap().parse().unwrap();
        let pebble = Pebble::new(elsewhere.unwrap_or(port), life)?;
        Some(Self { bench, port, pebble, tables: String::new() })
    }

    fn toml(&self) -> String {
        let toml = self.bench.toml(&format!("public = true\n{}{}", self.tables, self.pebble.toml()));
        toml.replace("public_url = \"http://localhost", &format!("public_url = \"https://{HOST}"))
    }

    async fn start(&self) -> Process {
        Process::start(&self.bench, &self.toml()).await
    }

    /// Shakes hands as somebody who asks for `name`, and believes whom `client` says.
    async fn meet(&self, client: ClientConfig, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        soon("a handshake", TlsConnector::from(Arc::new(client)).connect(name, stream)).await
    }

    /// The status of a request to the app, over a new connection.
    async fn ask(&self, roots: &RootCertStore) -> Result<u16, Box<dyn std::error::Error>> {
        self.ask_for(roots, HOST, HOST).await
    }

    /// The same of `host` by a connection to `name`.
    async fn ask_for(&self, roots: &RootCertStore, name: &str, host: &str) -> Result<u16, Box<dyn std::error::Error>> {
        let stream = self.meet(believing(roots), name).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get("/").header("host", format!("{host}:{}", self.port));
        let response = soon("an answer", sender.send_request(request.body(Empty::<Bytes>::new()).unwrap())).await?;
        let status = response.status().as_u16();
        response.into_body().collect().await?;
        Ok(status)
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}

fn believing(roots: &RootCertStore) -> ClientConfig {
    builder().with_root_certificates(roots.clone()).with_no_client_auth()
}

/// Believes anybody, as authorities do, and asks for these protocols.
fn asking(protocols: &[&str]) -> ClientConfig {
    let verifier = Arc::new(Gullible(SCHEMES.to_vec()));
    let mut client = builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    client.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    client
}

/// How often the process has said that.
fn told(process: &Process, words: &str) -> usize {
    process.errors().matches(words).count()
}

/// What the operator's listener says.
async fn operator(process: &Process, path: &str) -> (u16, String) {
    let errors = process.errors();
    let line = errors.lines().find(|line| line.contains("\"listening\"")).expect("it listens");
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let address = line["operator"].as_str().or(line["fields"]["operator"].as_str()).expect("an address").to_owned();
    let reply = Browser::new().fetch(hyper::Method::GET, format!("http://{address}{path}"), &[], "").await;
    (reply.status.as_u16(), reply.body)
}

async fn issued(process: &Process, count: usize) {
    said(process, "a certificate was ordered", count).await;
    said(process, "a new certificate is shown", count).await;
}

/// Waits until the process has said that so many times; three questions in a row may be refused for nothing, and then
/// it rests for a while.
async fn said(process: &Process, words: &str, count: usize) {
    let waited = tokio::time::timeout(PATIENCE * 2, async {
        while told(process, words) < count {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    let last = || process.errors().lines().rev().take(20).collect::<Vec<_>>().join("\n");
    assert!(waited.await.is_ok(), "{words:?} was not said {count} times: {}", last());
}

#[tokio::test]
async fn an_empty_folder_becomes_a_certificate_that_its_authority_vouches_for() {
    let Some(mut site) = Site::new(LONG, None).await else { return };
    site.pebble.refused = 15;
    site.pebble.start().await;
    let mut process = site.start().await;
    issued(&process, 1).await;
    let roots = site.pebble.roots().await;
    assert_eq!(site.ask(&roots).await.unwrap(), 200, "{}", process.errors());
    until("readiness", || async { operator(&process, "/readyz").await.0 == 200 }).await;
    let metrics = operator(&process, "/metrics").await.1;
    assert!(metrics.contains("portcullis_certificate_orders_total{outcome=\"issued\"} 1\n"), "{metrics}");
    assert!(metrics.contains("portcullis_server_events_total{event=\"proof_shown\"} "), "{metrics}");

    // Nobody else reads what is kept, and no key is in the log, even of everything.
    let mut kept: Vec<_> =
        std::fs::read_dir(site.pebble.own_folder()).unwrap().map(|file| file.unwrap().path()).collect();
    kept.sort_unstable();
    let names: Vec<_> = kept.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["account.json", "lock", "wiki.example.com.pem"]);
    for file in &kept {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    let account: serde_json::Value = serde_json::from_slice(&std::fs::read(&kept[0]).unwrap()).unwrap();
    let key = account["credentials"]["key_pkcs8"].as_str().unwrap();
    let pem = std::fs::read_to_string(&kept[2]).unwrap();
    let line = pem.lines().nth(1).unwrap();
    assert!(!process.errors().contains(key) && !process.errors().contains(line));

    // A restart has it from the first moment, and orders nothing.
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
    let process = site.start().await;
    assert_eq!(site.ask(&roots).await.unwrap(), 200, "{}", process.errors());
    assert_eq!(told(&process, "a certificate is shown"), 1, "{}", process.errors());
    let metrics = operator(&process, "/metrics").await.1;
    assert!(!metrics.contains("portcullis_certificate_orders_total{"), "{metrics}");
    assert_eq!(std::fs::read_to_string(&kept[2]).unwrap(), pem);
}

#[tokio::test]
async fn each_host_has_a_certificate_of_its_own_beside_those_that_are_brought() {
    let Some(mut site) = Site::new(LONG, None).await else { return };
    let authority = Authority::new();
    let brought = authority.issue(&["brought.example.com"], |_| {});
    let app = &site.bench.app.authority;
    for host in ["ci.example.com", "brought.example.com"] {
        site.tables += &format!("[[route]]\nhost = {host:?}\nupstream = \"http://{app}\"\npublic = true\n");
    }
    site.tables +=
        &format!("[[tls.more]]\ncertificate = {:?}\nprivate_key = {:?}\n", brought.certificate, brought.private_key);
    site.pebble.start().await;
    let process = site.start().await;
    issued(&process, 2).await;
    let roots = site.pebble.roots().await;
    for host in [HOST, "ci.example.com"] {
        assert_eq!(site.ask_for(&roots, host, host).await.unwrap(), 200, "{host}");
    }
    assert_eq!(site.ask_for(&roots, HOST, "ci.example.com").await.unwrap(), 421);
    let shown = site.meet(asking(&["http/1.1"]), "brought.example.com").await.unwrap();
    assert_eq!(shown.get_ref().1.peer_certificates().unwrap()[0], brought.identity().0[0]);
    assert_eq!(told(&process, "one is ordered"), 2, "{}", process.errors());
}

#[tokio::test]
async fn an_authority_needs_no_client_certificate_where_everybody_else_does() {
    let Some(mut site) = Site::new(LONG, None).await else { return };
    let clients = Authority::new();
    site.tables = format!("[tls]\nclient_ca = {:?}\nmin_version = \"1.3\"\n", clients.file());
    site.pebble.start().await;
    let process = site.start().await;
    issued(&process, 1).await;
    let roots = site.pebble.roots().await;
    assert!(site.ask(&roots).await.is_err());
    let (chain, key) = clients.issue(&["device"], |wishes| wishes.extended_key_usages = vec![ClientAuth]).identity();
    let client = builder().with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
    let stream = site.meet(client, HOST).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::get("/").header("host", format!("{HOST}:{}", site.port)).body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(soon("an answer", sender.send_request(request)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_authority_that_wants_a_renewal_gets_it_once() {
    let Some(mut site) = Site::new(LONG, None).await else { return };
    site.pebble.start().await;
    let mut process = site.start().await;
    issued(&process, 1).await;
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
    let kept = site.pebble.own_folder().join(format!("{HOST}.pem"));
    let first = std::fs::read_to_string(&kept).unwrap();
    let chain = first.find("-----BEGIN CERTIFICATE-----").unwrap();
    let end = "-----END CERTIFICATE-----";
    let leaf = &first[chain..first.find(end).unwrap() + end.len()];
    site.pebble.hurry(leaf).await;
    let process = site.start().await;
    issued(&process, 1).await;
    assert_eq!(told(&process, "a certificate is renewed"), 1, "{}", process.errors());
    assert_ne!(std::fs::read_to_string(&kept).unwrap(), first);
    assert_eq!(site.ask(&site.pebble.roots().await).await.unwrap(), 200);
}

#[tokio::test]
async fn while_nothing_could_be_ordered_nobody_is_shown_anything() {
    let Some(mut site) = Site::new(LONG, None).await else { return };
    let process = site.start().await;
    said(&process, "no certificate could be ordered", 1).await;
    assert!(process.errors().contains("the authority gives no answer"), "{}", process.errors());
    assert!(site.meet(asking(&["http/1.1"]), HOST).await.is_err());
    let waiting = || async { operator(&process, "/readyz").await == (503, NO_CERTIFICATE.to_owned()) };
    until("the waiting", waiting).await;
    // Whoever has put it right need not wait.
    site.pebble.start().await;
    process.signal("HUP");
    issued(&process, 1).await;
    assert_eq!(site.ask(&site.pebble.roots().await).await.unwrap(), 200);
    until("readiness", || async { operator(&process, "/readyz").await.0 == 200 }).await;
    assert_eq!(told(&process, "ready: people can sign in"), 1, "{}", process.errors());
}

const NO_CERTIFICATE: &str = "not ready: no certificate yet, and the log says why\n";

#[tokio::test]
async fn a_renewal_drops_nobody() {
    let Some(mut site) = Site::new(SHORT, None).await else { return };
    site.pebble.start().await;
    let process = site.start().await;
    issued(&process, 1).await;
    let roots = site.pebble.roots().await;
    // One who stays, and those who come and go.
    let stream = site.meet(believing(&roots), HOST).await.unwrap();
    let first = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
    let (mut stays, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut served = 0;
    while told(&process, "a new certificate is shown") < 2 {
        assert_eq!(site.ask(&roots).await.unwrap(), 200, "{}", process.errors());
        let request = Request::get("/").header("host", format!("{HOST}:{}", site.port));
        stays.ready().await.unwrap();
        let answer = soon("an answer", stays.send_request(request.body(Empty::<Bytes>::new()).unwrap())).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
        served += 1;
    }
    assert!(served > 10, "{served}");
    let second = site.meet(believing(&roots), HOST).await.unwrap();
    assert_ne!(second.get_ref().1.peer_certificates().unwrap()[0], first);
    assert_eq!(site.ask(&roots).await.unwrap(), 200);
    assert_eq!(told(&process, "could not be"), 0, "{}", process.errors());
}

#[tokio::test]
async fn an_authority_that_is_gone_at_the_renewal_leaves_the_old_certificate() {
    let Some(mut site) = Site::new(SHORT, None).await else { return };
    site.pebble.start().await;
    let process = site.start().await;
    issued(&process, 1).await;
    let roots = site.pebble.roots().await;
    site.pebble.stop();
    said(&process, "a certificate could not be renewed", 1).await;
    assert_eq!(site.ask(&roots).await.unwrap(), 200, "{}", process.errors());
    let metrics = operator(&process, "/metrics").await.1;
    assert!(metrics.contains("portcullis_certificate_orders_total{outcome=\"failed\"} 1\n"), "{metrics}");
    assert!(metrics.contains("portcullis_certificate_expiry_timestamp_seconds{certificate="), "{metrics}");
    // It comes back and remembers nobody: the gateway introduces itself again.
    site.pebble.start().await;
    process.signal("HUP");
    issued(&process, 2).await;
    assert_eq!(site.ask(&site.pebble.roots().await).await.unwrap(), 200, "{}", process.errors());
}

#[tokio::test]
async fn an_authority_that_finds_nobody_is_told_of_and_not_hammered() {
    let Some(mut site) = Site::new(LONG, Some(free_port())).await else { return };
    site.pebble.start().await;
    let process = site.start().await;
    said(&process, "no certificate could be ordered", 1).await;
    let errors = process.errors();
    let line = errors.lines().find(|line| line.contains("no certificate could be ordered")).unwrap();
    assert!(line.contains("could not prove that the host is ours") && line.contains("Failed to connect"), "{line}");
    // The first wait is of minutes.
    assert!(line.contains("\"again\":\"5m") || line.contains("\"again\":\"6m"), "{line}");
    assert!(site.meet(asking(&["acme-tls/1"]), HOST).await.is_err(), "the proof is taken down");
    assert_eq!(told(&process, "one is ordered"), 1, "{}", process.errors());
}

#[tokio::test]
async fn a_certificate_that_somebody_removed_is_ordered_again() {
    let Some(mut site) = Site::new(LONG, None).await else { return };
    site.pebble.start().await;
    let process = site.start().await;
    issued(&process, 1).await;
    std::fs::remove_file(site.pebble.own_folder().join(format!("{HOST}.pem"))).unwrap();
    issued(&process, 2).await;
    assert_eq!(told(&process, "there is no certificate yet"), 2, "{}", process.errors());
}

#[tokio::test]
async fn who_shares_a_folder_waits_for_the_other() {
    let Some(mut site) = Site::new(LONG, None).await else { return };
    site.pebble.start().await;
    std::fs::create_dir(site.pebble.own_folder()).unwrap();
    let lock = std::fs::File::create(site.pebble.own_folder().join("lock")).unwrap();
    lock.lock().unwrap();
    let process = site.start().await;
    said(&process, "another gateway orders into this folder", 1).await;
    assert_eq!(told(&process, "no certificate could be ordered"), 0);
    drop(lock);
    process.signal("HUP");
    issued(&process, 1).await;
}

#[tokio::test]
async fn a_check_says_what_would_be_ordered_and_asks_nobody() {
    let Some(site) = Site::new(LONG, None).await else { return };
    let config = site.bench.write(&site.toml());
    let check = || {
        let mut command = std::process::Command::new(PROGRAM);
        command.args(["check", "--config"]).arg(&config).output().unwrap()
    };
    let output = check();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("certificate for wiki.example.com: none yet, and one is ordered at the start"), "{out}");
    assert_eq!(output.status.code(), Some(0));
    site.bench.write(&site.toml().replace("accept_terms", "#"));
    let output = check();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(err.contains("tls.acme.accept_terms") && err.contains("write accept_terms = true"), "{err}");
    assert_eq!(std::fs::read_dir(site.pebble.folder()).unwrap().count(), 0, "nothing was made");
}
