//! The client for providers, against scripted servers.

use super::script::{Reply, Script, reply};
use super::*;
use std::io::Write;

const PATIENCE: Duration = Duration::from_secs(10);

fn client() -> Client {
    Client::new(PATIENCE, None).unwrap()
}

fn get(address: impl std::fmt::Display) -> Request<Vec<u8>> {
    Request::get(address.to_string()).body(Vec::new()).unwrap()
}

#[tokio::test]
async fn a_question_is_asked_and_answered() {
    let script = Script::start(|_| reply(200, "X-A: b\r\n", "hello")).await;
    let address = format!("http://{}/a/path?query=1", script.address());
    let request = Request::post(&address).header("accept", "text/plain").body(b"body".to_vec()).unwrap();
    let response = client().send(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.body().as_slice()), (200, b"hello".as_slice()));
    assert_eq!(response.headers()["x-a"], "b");
    let asked = script.asked().remove(0).to_lowercase();
    assert!(asked.starts_with("post /a/path?query=1 http/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: {}\r\n", script.address())), "{asked}");
    assert!(asked.contains("content-length: 4\r\n") && asked.ends_with("\r\n\r\nbody"), "{asked}");
}

#[tokio::test]
async fn an_empty_post_says_that_it_is_empty() {
    let script = Script::start(|_| reply(200, "", "")).await;
    let address = format!("http://{}/", script.address());
    client().send(Request::post(&address).body(Vec::new()).unwrap()).await.unwrap();
    client().send(get(&address)).await.unwrap();
    let asked = script.asked();
    assert!(asked[0].to_lowercase().contains("content-length: 0\r\n"), "{}", asked[0]);
    assert!(!asked[1].to_lowercase().contains("content-length"), "{}", asked[1]);
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let script = Script::start(move |_| reply(status, "Location: /elsewhere\r\n", "")).await;
        let response = client().send(get(format!("http://{}/", script.address()))).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(script.asked().len(), 1);
    }
}

#[tokio::test]
async fn an_oversized_answer_is_cut() {
    let whole = Script::start(|_| reply(200, "", vec![b'a'; MAX_ANSWER])).await;
    let body = client().send(get(format!("http://{}/", whole.address()))).await.unwrap().into_body();
    assert_eq!(body.len(), MAX_ANSWER);
    let more = Script::start(|_| reply(200, "", vec![b'a'; MAX_ANSWER + 1])).await;
    let outcome = client().send(get(format!("http://{}/", more.address()))).await;
    assert_eq!(outcome.unwrap_err(), Problem::TooLarge);
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let endless = Script::start(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        bytes.resize(3 * MAX_ANSWER, b'a');
        Reply::Bytes(bytes)
    })
    .await;
    let outcome = client().send(get(format!("http://{}/", endless.address()))).await;
    assert_eq!(outcome.unwrap_err(), Problem::TooLarge);
}

#[tokio::test]
async fn silence_ends_at_the_deadline() {
    let patience = Duration::from_millis(100);
    let script = Script::start(|_| Reply::Silence).await;
    let client = Client::new(patience, None).unwrap();
    let outcome = client.send(get(format!("http://{}/", script.address()))).await;
    assert_eq!(outcome.unwrap_err(), Problem::TimedOut(patience));
}

#[tokio::test]
async fn a_broken_answer_is_no_answer() {
    for bytes in ["", "HTTP/1.1 200", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"] {
        let script = Script::start(move |_| Reply::Bytes(bytes.as_bytes().to_vec())).await;
        let outcome = client().send(get(format!("http://{}/", script.address()))).await;
        assert!(matches!(outcome, Err(Problem::Unreachable(_))), "{bytes}: {outcome:?}");
    }
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = client().send(get(format!("http://{free}/"))).await;
    assert!(matches!(outcome, Err(Problem::Unreachable(cause)) if cause.starts_with("no connection")));
}

#[tokio::test]
async fn plain_text_never_leaves_the_machine() {
    for address in ["http://example.com/", "http://192.0.2.1/", "http://localhost.example.com/", "ftp://localhost/"] {
        let outcome = client().send(get(address)).await;
        assert!(matches!(outcome, Err(Problem::Address(_))), "{address}: {outcome:?}");
    }
}

#[tokio::test]
async fn localhost_is_this_machine_under_every_name() {
    let script = Script::start(|_| reply(200, "", "")).await;
    for host in ["localhost", "acme.localhost"] {
        let outcome = client().send(get(format!("http://{host}:{}/", script.address().port()))).await;
        assert_eq!(outcome.unwrap().status().as_u16(), 200);
    }
}

fn tls_for(name: &str) -> (tokio_rustls::TlsAcceptor, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(made.cert.pem().as_bytes()).unwrap();
    (tokio_rustls::TlsAcceptor::from(Arc::new(config)), file)
}

#[tokio::test]
async fn a_certificate_of_the_given_authority_is_believed() {
    let (tls, ca) = tls_for("localhost");
    let script = Script::start_with(Some(tls), |_| reply(200, "", "safe")).await;
    let address = format!("https://localhost:{}/", script.address().port());
    let client = Client::new(PATIENCE, Some(ca.path())).unwrap();
    assert_eq!(client.send(get(&address)).await.unwrap().body(), b"safe");
}

#[tokio::test]
async fn a_strangers_certificate_is_not() {
    let (tls, _) = tls_for("localhost");
    let script = Script::start_with(Some(tls), |_| reply(200, "", "unsafe")).await;
    let outcome = client().send(get(format!("https://localhost:{}/", script.address().port()))).await;
    assert!(matches!(outcome, Err(Problem::Unreachable(cause)) if cause.contains("TLS")));
    assert!(script.asked().is_empty());
}

#[tokio::test]
async fn another_hosts_certificate_is_not() {
    let (tls, ca) = tls_for("elsewhere.example");
    let script = Script::start_with(Some(tls), |_| reply(200, "", "unsafe")).await;
    let client = Client::new(PATIENCE, Some(ca.path())).unwrap();
    let outcome = client.send(get(format!("https://localhost:{}/", script.address().port()))).await;
    assert!(matches!(outcome, Err(Problem::Unreachable(cause)) if cause.contains("TLS")));
    assert!(script.asked().is_empty());
}

#[test]
fn an_unusable_file_of_certificates_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Client::new(PATIENCE, Some(file.path())), Err(SetupProblem::NoCertificate(_))));
    let missing = Path::new("/no/such/file");
    assert!(matches!(Client::new(PATIENCE, Some(missing)), Err(SetupProblem::Certificates { .. })));
}
