//! What apps are told about the certificates of clients, that nobody else can tell it, and which are no longer good.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::emulator::people;
use rcgen::{CertificateParams, DnType, SanType};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::app::Seen;
use crate::authority::{Authority, Issued};
use crate::browser::Browser;
use crate::stage::{Line, soon, until};
use crate::world::{Builder, World};

const TOLD: &str = "[headers]\npresets = [\"forwarded\"]\n[headers.custom]\n\
    X-Client-Subject = \"client_certificate.subject\"\n\
    X-Client-Issuer = \"client_certificate.issuer\"\n\
    X-Client-Serial = \"client_certificate.serial\"\n\
    X-Client-Fingerprint = \"client_certificate.fingerprint\"\n\
    X-Client-Dns = \"client_certificate.san_dns\"\n\
    X-Client-Email = \"client_certificate.san_email\"\n\
    X-Client-Uri = \"client_certificate.san_uri\"\n\
    Client-Cert = \"client_certificate.der\"\n";

const NAMES: [&str; 8] = [
    "x-client-subject",
    "x-client-issuer",
    "x-client-serial",
    "x-client-fingerprint",
    "x-client-dns",
    "x-client-email",
    "x-client-uri",
    "client-cert",
];

const OPEN: &str = "[[route]]\nupstream = \"http://{app}\"\n\
    [[route]]\npath = \"/public\"\npublic = true\nupstream = \"http://{app}\"\n";

fn asking(authority: &Authority, lines: &str) -> Builder {
    let pem = std::fs::read_to_string(authority.file()).unwrap();
    World::with().tls_lines(lines).client_ca(&pem).table(TOLD).routes(OPEN)
}

fn device(authority: &Authority, name: &'static str) -> Issued {
    numbered(authority, name, &[0xca, 0xfe])
}

fn numbered(authority: &Authority, name: &'static str, number: &[u8]) -> Issued {
    authority.issue(&["device.example"], |wishes: &mut CertificateParams| {
        wishes.distinguished_name.push(DnType::CommonName, name);
        wishes.serial_number = Some(rcgen::SerialNumber::from_slice(number));
        wishes.subject_alt_names.push(SanType::URI("spiffe://example/a,b".try_into().unwrap()));
        wishes.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    })
}

/// A client that shows this certificate, if any, and speaks `protocol`.
fn client(world: &World, shown: Option<&Issued>, protocol: &str) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    let own = std::fs::read(world.folder().join("main.crt")).unwrap();
    roots.add(rustls::pki_types::pem::PemObject::from_pem_slice(&own).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match shown.map(Issued::identity) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config)
}

async fn meet(world: &World, shown: Option<&Issued>, protocol: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(world.gateway.address).await?;
    let connector = tokio_rustls::TlsConnector::from(client(world, shown, protocol));
    soon("a handshake", connector.connect(ServerName::try_from("localhost").unwrap(), stream)).await
}

/// One request in HTTP/1.1, as it is written, and what the app has received.
async fn ask(world: &World, line: &mut Line, path: &str, lines: &str) -> Seen {
    line.send(format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{lines}\r\n", world.authority())).await;
    let head = line.head().await.expect("an answer");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    line.take(crate::stage::length(&head)).await;
    world.app.last()
}

fn told(seen: &Seen) -> Vec<Option<String>> {
    NAMES.iter().map(|name| seen.one(name)).collect()
}

/// What a client makes up about itself, in spellings that apps fold together.
const LIES: &str = "x-client-subject: CN=evil\r\nX_Client_Subject: CN=evil\r\nx.client.dns: evil\r\n\
    X-Client-Email: evil@evil.example\r\nClient-Cert: :ZXZpbA==:\r\nx-client-fingerprint: evil\r\n\
    Client_Cert_Chain: :ZXZpbA==:\r\nclient-cert-chain: :ZXZpbA==:\r\n\
    Connection: x-client-subject, x-client-serial\r\n";

fn assert_nothing_evil(seen: &Seen) {
    for (name, value) in &seen.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        assert!(!value.contains("evil") && !value.contains("ZXZpbA"), "{name}: {value}");
    }
}

#[tokio::test]
async fn the_app_hears_whose_certificate_it_was_by_every_protocol() {
    let ours = Authority::new();
    let world = asking(&ours, "").start().await;
    let ada = device(&ours, "ada, 1");
    let (chain, _) = ada.identity();
    let der = chain[0].as_ref();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let fingerprint: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let whole = format!(":{}:", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der));
    let expect = |seen: &Seen, what: &str| {
        let told = told(seen);
        assert_eq!(told[0].as_deref(), Some("CN=ada\\, 1"), "{what}");
        assert!(told[1].as_deref().unwrap().starts_with("CN=authority "), "{what}: {told:?}");
        assert_eq!(told[2].as_deref(), Some("cafe"), "{what}");
        assert_eq!(told[3].as_deref(), Some(fingerprint.as_str()), "{what}");
        assert_eq!(told[4].as_deref(), Some("device.example"), "{what}");
        assert_eq!(told[5], None, "{what}: who has none is not lent one");
        assert_eq!(told[6].as_deref(), Some("spiffe://example/a%2Cb"), "{what}");
        assert_eq!(told[7].as_deref(), Some(whole.as_str()), "{what}");
        assert_nothing_evil(seen);
    };
    let mut line = Line::over(Box::new(meet(&world, Some(&ada), "http/1.1").await.unwrap()));
    for turn in 0..3 {
        expect(&ask(&world, &mut line, "/public/", "").await, &format!("request {turn}"));
        expect(&ask(&world, &mut line, "/public/", LIES).await, &format!("request {turn} with lies"));
    }
    // Whatever is not plain goes by another way.
    let body = format!("{LIES}transfer-encoding: chunked\r\ntrailer: x-client-subject\r\n");
    line.send(format!("POST /public/ HTTP/1.1\r\nhost: {}\r\n{body}\r\n", world.authority())).await;
    line.send("3\r\nabc\r\n0\r\nx-client-subject: CN=evil\r\n\r\n").await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let seen = world.app.last();
    expect(&seen, "a body");
    let trailers = seen.trailers.unwrap_or_default();
    assert!(trailers.get("x-client-subject").is_none(), "{trailers:?}");

    let stream = TokioIo::new(meet(&world, Some(&ada), "h2").await.unwrap());
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    for body in ["", "abc"] {
        let request = Request::post(world.at("/public/")).header("x-client-subject", "CN=evil");
        let request = request.header("x_client_uri", "evil").body(Full::new(Bytes::from_static(body.as_bytes())));
        let response = soon("an answer", sender.send_request(request.unwrap())).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
        expect(&world.app.last(), "HTTP/2");
    }
}

#[tokio::test]
async fn a_session_has_no_certificate_and_a_certificate_no_session() {
    let ours = Authority::new();
    let world = asking(&ours, "").start().await;
    let (adas, bobs) = (device(&ours, "ada"), device(&ours, "bob"));
    let mut browser = Browser::trusting(client(&world, Some(&adas), "http/1.1"));
    assert_eq!(browser.sign_in(&world.at("/"), people::STANDARD.username).await.status, 200);
    let person = world.app.last().one("x-forwarded-user").unwrap();
    assert_eq!(told(&world.app.last())[0].as_deref(), Some("CN=ada"));

    // The same session at another device: each is told for itself, and neither lends to the other.
    let ticket = browser.cookie(world.host(), world.session_cookie()).unwrap();
    let cookie = format!("cookie: {}={ticket}\r\n", world.session_cookie());
    let mut at_bobs = Line::over(Box::new(meet(&world, Some(&bobs), "http/1.1").await.unwrap()));
    let mut at_adas = Line::over(Box::new(meet(&world, Some(&adas), "http/1.1").await.unwrap()));
    for _ in 0..2 {
        let seen = ask(&world, &mut at_bobs, "/", &cookie).await;
        assert_eq!((told(&seen)[0].as_deref(), seen.one("x-forwarded-user")), (Some("CN=bob"), Some(person.clone())));
        let seen = ask(&world, &mut at_adas, "/", &cookie).await;
        assert_eq!(told(&seen)[0].as_deref(), Some("CN=ada"));
    }
    // A certificate opens no page by itself.
    let hits = world.app.hits();
    at_bobs.send(format!("GET / HTTP/1.1\r\nhost: {}\r\n{LIES}\r\n", world.authority())).await;
    assert!(at_bobs.head().await.unwrap().starts_with("http/1.1 401"));
    assert_eq!(world.app.hits(), hits);
}

#[tokio::test]
async fn who_may_come_without_a_certificate_is_told_nothing_about() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let world = asking(&ours, "client_certificate = \"optional\"\n").start().await;
    let mut line = Line::over(Box::new(meet(&world, None, "http/1.1").await.unwrap()));
    for lines in ["", LIES] {
        let seen = ask(&world, &mut line, "/public/", lines).await;
        assert_eq!(told(&seen), vec![None; NAMES.len()]);
        assert_nothing_evil(&seen);
    }
    let shown = device(&ours, "ada");
    let mut line = Line::over(Box::new(meet(&world, Some(&shown), "http/1.1").await.unwrap()));
    let seen = ask(&world, &mut line, "/public/", LIES).await;
    assert_eq!(told(&seen)[0].as_deref(), Some("CN=ada"));
    // A stranger's is refused as ever, and not taken for none.
    let hits = world.app.hits();
    if let Ok(stream) = meet(&world, Some(&device(&theirs, "eve")), "http/1.1").await {
        let mut line = Line::over(Box::new(stream));
        line.send(format!("GET /public/ HTTP/1.1\r\nhost: {}\r\n\r\n", world.authority())).await;
        assert_eq!(line.head().await, None);
    }
    let event = "portcullis_server_events_total{event=\"client_certificate_unknown_issuer\"}";
    until(event, || async { world.metric(event).await == 1 }).await;
    assert_eq!(world.app.hits(), hits);
}

#[tokio::test]
async fn a_lost_device_is_refused_from_its_next_connection_on() {
    let ours = Authority::new();
    let (lost, kept) = (numbered(&ours, "lost", &[0xa0, 1]), numbered(&ours, "kept", &[0xa0, 2]));
    let lists = ours.file().with_file_name("lists.crl");
    std::fs::write(&lists, ours.list(&[])).unwrap();
    let world = asking(&ours, &format!("client_crl = {lists:?}\n")).start().await;
    let gauge = format!("portcullis_revocation_list_expiry_timestamp_seconds{{file={lists:?}}}");
    assert_eq!(world.metric(&gauge).await, 3_786_912_000);
    let comes = async |device: &Issued| {
        let Ok(stream) = meet(&world, Some(device), "http/1.1").await else { return false };
        let mut line = Line::over(Box::new(stream));
        line.send(format!("GET /public/ HTTP/1.1\r\nhost: {}\r\n\r\n", world.authority())).await;
        line.head().await.is_some()
    };
    assert!(comes(&lost).await && comes(&kept).await);
    // Over what is open already requests go on: nobody shakes hands again.
    let mut open = Line::over(Box::new(meet(&world, Some(&lost), "http/1.1").await.unwrap()));
    let beside = lists.with_extension("new");
    std::fs::write(&beside, ours.list(&[&[0xa0, 1]])).unwrap();
    std::fs::rename(&beside, &lists).unwrap();
    until("the new list", async || !comes(&lost).await).await;
    assert!(comes(&kept).await);
    ask(&world, &mut open, "/public/", "").await;
    let event = "portcullis_server_events_total{event=\"client_certificate_revoked\"}";
    assert!(world.metric(event).await >= 1);
    // Nobody is let in for want of a list.
    std::fs::remove_file(&lists).unwrap();
    let refused = "portcullis_certificate_reloads_total{outcome=\"refused\"}";
    until(refused, async || world.metric(refused).await == 1).await;
    assert!(!comes(&lost).await && comes(&kept).await);
}
