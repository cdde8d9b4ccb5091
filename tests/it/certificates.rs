//! What the front door shows and demands in handshakes, and that it can be replaced while everybody is at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::authority::{Authority, Issued};
use crate::check::{Bench, Process};
use crate::stage::{Line, field, soon, until};
use crate::world::{World, write_pair};

mod lasting;
mod versions;

const OPEN: &str = "[[route]]\nupstream = \"http://{app}\"\npublic = true\n";

/// A host beside `localhost`, and a third that shares a certificate with it.
const HOSTS: &str = "[[route]]\nupstream = \"http://{app}\"\npublic = true\n\
                     [[route]]\nhost = \"other.localhost\"\nupstream = \"http://{app}\"\npublic = true\n\
                     [[route]]\nhost = \"third.localhost\"\nupstream = \"http://{app}\"\npublic = true\n";

type Stream = TlsStream<TcpStream>;

/// Shakes hands as somebody who asks for `name`.
async fn meet(world: &World, client: Arc<ClientConfig>, name: &str) -> std::io::Result<Stream> {
    let stream = TcpStream::connect(world.gateway.address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    soon("a handshake", tokio_rustls::TlsConnector::from(client).connect(name, stream)).await
}

fn shown(stream: &Stream) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// The world's certificates, as they are now.
fn roots(world: &World) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let files = std::fs::read_dir(world.folder()).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|file| file.extension().is_some_and(|end| end == "crt")) {
        roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    }
    roots
}

/// A client that trusts these too, and shakes hands anew each time.
fn trusting(world: &World, more: &[&CertificateDer<'static>]) -> Arc<ClientConfig> {
    let mut roots = roots(world);
    more.iter().for_each(|more| roots.add((*more).clone()).unwrap());
    let mut client = builder(&BOTH, roots).with_no_client_auth();
    // Who resumes is shown no certificate.
    client.resumption = rustls::client::Resumption::disabled();
    Arc::new(client)
}

const BOTH: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

fn builder(
    versions: &[&'static rustls::SupportedProtocolVersion],
    roots: RootCertStore,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
}

/// An open HTTP/1.1 connection.
struct Open(http1::SendRequest<Empty<Bytes>>);

impl Open {
    async fn over(stream: Stream) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        Self(sender)
    }

    /// The status of one request for a path of a host.
    async fn ask(&mut self, authority: &str, path: &str) -> hyper::Result<StatusCode> {
        let request = Request::get(path).header("host", authority).body(Empty::new()).unwrap();
        self.0.ready().await?;
        let response = soon("an answer", self.0.send_request(request)).await?;
        let status = response.status();
        response.into_body().collect().await?;
        Ok(status)
    }
}

fn at(world: &World, host: &str) -> String {
    world.authority().replace("localhost", host)
}

async fn two_certificates(more: &str) -> World {
    let world = World::with().certificate("other", &["other.localhost", "third.localhost"]).routes(HOSTS).top(more);
    world.host("other.localhost").host("third.localhost").start().await
}

#[tokio::test]
async fn each_host_is_reached_by_its_own_certificate() {
    let world = two_certificates("").await;
    let mut seen = Vec::new();
    for host in ["localhost", "other.localhost", "third.localhost"] {
        let stream = meet(&world, world.tls(), host).await.unwrap();
        seen.push(shown(&stream));
        assert_eq!(Open::over(stream).await.ask(&at(&world, host), "/").await.unwrap(), 200, "{host}");
    }
    assert!(seen[0] != seen[1] && seen[1] == seen[2]);
    // Nobody's name is shown the first certificate, which its client then does not believe.
    assert!(meet(&world, world.tls(), "nobody.localhost").await.is_err());
    let mut silent = ClientConfig::clone(&world.tls());
    silent.enable_sni = false;
    assert_eq!(shown(&meet(&world, Arc::new(silent), "localhost").await.unwrap()), seen[0]);
}

#[tokio::test]
async fn a_host_is_not_reached_under_anothers_certificate() {
    let world = two_certificates("").await;
    for (name, host, status) in [
        ("localhost", "other.localhost", 421),
        ("other.localhost", "localhost", 421),
        // One certificate is one connection's, as browsers have it.
        ("other.localhost", "third.localhost", 200),
        ("third.localhost", "other.localhost", 200),
    ] {
        let mut open = Open::over(meet(&world, world.tls(), name).await.unwrap()).await;
        assert_eq!(open.ask(&at(&world, host), "/").await.unwrap(), status, "{name} {host}");
        // The connection itself is as good as before.
        assert_eq!(open.ask(&at(&world, name), "/").await.unwrap(), 200, "{name} {host}");
        let mut client = ClientConfig::clone(&world.tls());
        client.alpn_protocols = vec![b"h2".to_vec()];
        let stream = meet(&world, Arc::new(client), name).await.unwrap();
        let (mut sender, connection) =
            http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(format!("https://{}/", at(&world, host))).body(Empty::new()).unwrap();
        assert_eq!(soon("an answer", sender.send_request(request)).await.unwrap().status(), status, "{name} {host}");
    }
    let mut silent = ClientConfig::clone(&world.tls());
    silent.enable_sni = false;
    let mut open = Open::over(meet(&world, Arc::new(silent), "localhost").await.unwrap()).await;
    assert_eq!(open.ask(&at(&world, "other.localhost"), "/").await.unwrap(), 421);
    assert_eq!(open.ask(&at(&world, "localhost"), "/").await.unwrap(), 200);
    assert_eq!(world.metric("portcullis_refusals_total{code=\"misdirected\"}").await, 5);
}

#[tokio::test]
async fn a_trusted_proxy_brings_every_host_over_one_connection() {
    let world = two_certificates("trusted_proxies = [\"127.0.0.1\"]").await;
    let mut open = Open::over(meet(&world, world.tls(), "localhost").await.unwrap()).await;
    assert_eq!(open.ask(&at(&world, "other.localhost"), "/").await.unwrap(), 200);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_while_open_connections_go_on() {
    let world = World::with().tls().routes(OPEN).start().await;
    let stream = meet(&world, world.tls(), "localhost").await.unwrap();
    let before = shown(&stream);
    let mut open = Open::over(stream).await;
    assert_eq!(open.ask(world.authority(), "/").await.unwrap(), 200);

    let renewed = write_pair(world.folder(), "main", &["localhost"]);
    let (client, world) = (trusting(&world, &[&before]), &world);
    // Nobody says that it changed.
    until("the new certificate", || async {
        let fresh = meet(world, Arc::clone(&client), "localhost").await.unwrap();
        shown(&fresh) == renewed
    })
    .await;
    assert_eq!(open.ask(world.authority(), "/").await.unwrap(), 200);
    assert_eq!(world.metric("portcullis_certificate_reloads_total{outcome=\"replaced\"}").await, 1);
    let metrics = world.metrics().await;
    let file = world.folder().join("main.crt").display().to_string();
    let gauge = format!("portcullis_certificate_expiry_timestamp_seconds{{certificate={file:?}}} 67");
    assert!(metrics.contains(&gauge), "{gauge}\n{metrics}");
}

#[tokio::test]
async fn a_bad_renewal_changes_nothing_and_is_counted() {
    let world = World::with().tls().routes(OPEN).start().await;
    let before = shown(&meet(&world, world.tls(), "localhost").await.unwrap());
    let refused = "portcullis_certificate_reloads_total{outcome=\"refused\"}";
    for (count, bad) in [(1, "nonsense"), (2, "")] {
        std::fs::write(world.folder().join("main.key"), bad).unwrap();
        until("the refusal", || async { world.metric(refused).await == count }).await;
        // Without what it would resume.
        let mut client = ClientConfig::clone(&world.tls());
        client.resumption = rustls::client::Resumption::disabled();
        let client = Arc::new(client);
        assert_eq!(shown(&meet(&world, client, "localhost").await.unwrap()), before);
    }
    let good = write_pair(world.folder(), "main", &["localhost"]);
    world.gateway.reread_certificates();
    until("the new certificate", || async {
        meet(&world, trusting(&world, &[&before]), "localhost").await.is_ok_and(|stream| shown(&stream) == good)
    })
    .await;
    assert_eq!(world.metric(refused).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_certificates_are_replaced() {
    let world = Arc::new(World::with().tls().routes(OPEN).workers(2).start().await);
    let authority = Authority::new();
    let sign = || authority.issue(&["localhost"], |_| ());
    let put = |issued: &Issued| {
        std::fs::copy(&issued.private_key, world.folder().join("main.key")).unwrap();
        std::fs::copy(&issued.certificate, world.folder().join("main.crt")).unwrap();
    };
    put(&sign());
    let replaced = "portcullis_certificate_reloads_total{outcome=\"replaced\"}";
    until("the first of them", || async { world.metric(replaced).await == 1 }).await;
    let client = || {
        let roots = RootCertStore::clone(&authority.roots());
        Arc::new(builder(&BOTH, roots).with_no_client_auth())
    };
    let done = Arc::new(AtomicBool::new(false));
    let mut visitors = tokio::task::JoinSet::new();
    for visitor in 0..6 {
        let (world, done, client) = (Arc::clone(&world), Arc::clone(&done), client());
        visitors.spawn(async move {
            let mut served = 0;
            let mut open = Open::over(meet(&world, Arc::clone(&client), "localhost").await.unwrap()).await;
            while !done.load(Ordering::Relaxed) {
                // Half of them stay, half come anew for each request, with and without a ticket.
                if visitor % 2 == 0 {
                    open = Open::over(meet(&world, Arc::clone(&client), "localhost").await.unwrap()).await;
                }
                assert_eq!(open.ask(world.authority(), "/").await.unwrap(), 200);
                served += 1;
            }
            served
        });
    }
    let mut last = None;
    for count in 2..=6 {
        let issued = sign();
        put(&issued);
        world.gateway.reread_certificates();
        until("the next of them", || async { world.metric(replaced).await >= count }).await;
        last = Some(issued);
    }
    done.store(true, Ordering::Relaxed);
    while let Some(served) = soon("the visitors", visitors.join_next()).await {
        assert!(served.unwrap() > 0);
    }
    let fresh = meet(&world, client(), "localhost").await.unwrap();
    assert_eq!(shown(&fresh), last.unwrap().identity().0[0]);
    assert_eq!(world.metric("portcullis_certificate_reloads_total{outcome=\"refused\"}").await, 0);
}

#[tokio::test]
async fn a_hang_up_has_certificates_read_and_stops_nothing() {
    let bench = Bench::new().await;
    let first = write_pair(bench.directory.path(), "main", &["localhost"]);
    let tls = "[tls]\ncertificate = \"main.crt\"\nprivate_key = \"main.key\"\n";
    let mut process =
        Process::start(&bench, &bench.toml(tls).replace("public_url = \"http:", "public_url = \"https:")).await;
    assert!(process.errors().contains("a certificate is shown"), "{}", process.errors());
    process.signal("HUP");
    until("a word about it", || async { process.errors().contains("nothing has changed") }).await;
    write_pair(bench.directory.path(), "main", &["localhost"]);
    process.signal("HUP");
    until("the new certificate", || async { process.errors().contains("a new certificate is shown") }).await;
    std::fs::write(bench.directory.path().join("main.key"), "nonsense").unwrap();
    process.signal("HUP");
    until("the refusal", || async { process.errors().contains("what was read before stays") }).await;
    assert!(!process.errors().contains("nonsense") && !first.is_empty());
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
}

#[tokio::test]
async fn whoever_comes_back_resumes_on_every_core() {
    let world = World::with().tls().routes(OPEN).workers(2).start().await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let client = Arc::new(builder(&[version], roots(&world)).with_no_client_auth());
        let mut kinds = Vec::new();
        // Which core a connection falls to is the kernel's choice: sixteen in a row fall to both.
        for _ in 0..17 {
            let mut open = meet(&world, Arc::clone(&client), "localhost").await.unwrap();
            kinds.push(open.get_ref().1.handshake_kind().unwrap());
            let head = format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", world.authority());
            open.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            // Tickets come with it.
            soon("an answer", open.read_to_string(&mut answer)).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        assert_ne!(kinds[0], HandshakeKind::Resumed);
        assert!(kinds[1..].iter().all(|kind| *kind == HandshakeKind::Resumed), "{kinds:?}");
    }
}

#[tokio::test]
async fn hsts_is_said_on_every_answer_over_tls_in_place_of_the_apps() {
    let lines = |reply: &crate::browser::Reply| -> Vec<String> {
        let all = reply.headers.get_all("strict-transport-security").iter();
        all.map(|line| line.to_str().unwrap().to_owned()).collect()
    };
    let world = World::with().tls_lines("hsts = \"1y\"").start().await;
    let mut browser = world.signed_in().await;
    for (path, status) in [("/", 200), ("/strict", 200), ("/.portcullis/me", 200), ("/.portcullis/nothing", 404)] {
        let reply = browser.fetch(Method::GET, world.at(path), &[], "").await;
        assert_eq!((reply.status.as_u16(), lines(&reply)), (status, vec!["max-age=31557600".to_owned()]), "{path}");
    }
    // What no browser sends.
    let host = world.authority();
    for (request, status) in [
        (format!("GET /.. HTTP/1.1\r\nhost: {host}\r\n\r\n"), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("TRACE / HTTP/1.1\r\nhost: {host}\r\n\r\n"), 405),
    ] {
        let mut line = Line::over(Box::new(crate::proxying::secured(&world, b"http/1.1").await));
        line.send(&request).await;
        let head = line.head().await.unwrap();
        assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        assert_eq!(field(&head, "strict-transport-security"), Some("max-age=31557600"), "{request}: {head}");
    }
    assert_eq!(lines(&world.browser().get(world.at("/")).await), ["max-age=31557600"]);
    let world = World::with().tls().start().await;
    let mut browser = world.signed_in().await;
    assert!(lines(&browser.get(world.at("/")).await).is_empty());
    assert_eq!(lines(&browser.get(world.at("/strict")).await), ["max-age=1", "max-age=0; includeSubDomains"]);
}

#[tokio::test]
async fn a_client_certificate_comes_before_everything_and_the_sign_in_after_it() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let pem = std::fs::read_to_string(ours.file()).unwrap();
    let world = World::with().client_ca(&pem).start().await;
    let issue = |authority: &Authority, from, until, purpose| {
        authority.issue(&["device"], |wishes| {
            wishes.not_before = rcgen::date_time_ymd(from, 1, 1);
            wishes.not_after = rcgen::date_time_ymd(until, 1, 1);
            wishes.extended_key_usages = vec![purpose];
        })
    };
    let config = |issued: Option<&Issued>| {
        let builder = builder(&BOTH, roots(&world));
        Arc::new(match issued.map(Issued::identity) {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        })
    };
    for (event, issued) in [
        ("missing", None),
        ("unknown_issuer", Some(issue(&theirs, 2020, 2090, ClientAuth))),
        ("expired", Some(issue(&ours, 2020, 2021, ClientAuth))),
        ("not_yet_valid", Some(issue(&ours, 2080, 2090, ClientAuth))),
        ("unfit", Some(issue(&ours, 2020, 2090, ServerAuth))),
    ] {
        if let Ok(stream) = meet(&world, config(issued.as_ref()), "localhost").await {
            // TLS 1.3: the client is done before the server has looked.
            assert!(Open::over(stream).await.ask(world.authority(), "/").await.is_err(), "{event}");
        }
        let event = format!("portcullis_server_events_total{{event=\"client_certificate_{event}\"}}");
        until(&event, || async { world.metric(&event).await == 1 }).await;
    }
    assert_eq!(world.app.hits(), 0);

    let good = issue(&ours, 2020, 2090, ClientAuth);
    let client = config(Some(&good));
    let mut open = Open::over(meet(&world, Arc::clone(&client), "localhost").await.unwrap()).await;
    assert_eq!(open.ask(world.authority(), "/").await.unwrap(), 401);
    assert_eq!(world.app.hits(), 0);
    let mut browser = crate::browser::Browser::trusting(Arc::clone(&client));
    let reply = browser.sign_in(&world.at("/"), portcullis::emulator::people::STANDARD.username).await;
    assert_eq!((reply.status.as_u16(), world.app.hits()), (200, 1));

    // Whoever came in before comes in no more when the authority is another's: no ticket remembers it.
    std::fs::copy(theirs.file(), world.folder().join("clients.crt")).unwrap();
    until("the other authority", || async {
        match meet(&world, Arc::clone(&client), "localhost").await {
            Ok(stream) => Open::over(stream).await.ask(world.authority(), "/").await.is_err(),
            Err(_) => true,
        }
    })
    .await;
}
