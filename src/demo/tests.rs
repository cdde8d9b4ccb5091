//! The demonstration, as a visitor without scripts would see it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper::header::{COOKIE, LOCATION, SET_COOKIE};
use hyper_util::rt::TokioIo;

use super::*;
use crate::emulator::people::{ADMINISTRATOR, FOREIGNER, INACTIVE, NOT_APPROVED, PARTNER};
use crate::emulator::settings::KeySize;
use crate::emulator::{KeyRing, Person};

struct Page {
    status: StatusCode,
    url: String,
    body: String,
}

/// Follows redirects and keeps cookies by host, as browsers do: ports do not matter.
#[derive(Default)]
struct Visitor {
    cookies: BTreeMap<(String, String), String>,
}

impl Visitor {
    async fn go(&mut self, url: &str, form: Option<&[(&str, &str)]>) -> Page {
        let mut url = url::Url::parse(url).unwrap();
        let mut form =
            form.map(|form| url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish());
        for _ in 0..12 {
            let (status, onward, body) = self.ask(&url, form.take()).await;
            match onward {
                Some(onward) => url = url.join(&onward).unwrap(),
                None => return Page { status, url: url.to_string(), body },
            }
        }
        panic!("still redirected at {url}");
    }

    async fn ask(&mut self, url: &url::Url, form: Option<String>) -> (StatusCode, Option<String>, String) {
        let host = url.host_str().unwrap().to_owned();
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", url.port().unwrap())).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(connection);
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .filter(|entry| entry.0.0 == host)
            .map(|entry| format!("{}={}", entry.0.1, entry.1))
            .collect();
        let mut request = hyper::Request::builder()
            .method(if form.is_some() { "POST" } else { "GET" })
            .uri(&url[url::Position::BeforePath..url::Position::AfterQuery])
            .header("host", format!("{host}:{}", url.port().unwrap()))
            .header("accept", "text/html,application/xhtml+xml")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
        if form.is_some() {
            request = request.header("content-type", "application/x-www-form-urlencoded");
        }
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        let body = Full::new(bytes::Bytes::from(form.unwrap_or_default()));
        let (head, body) = sender.send_request(request.body(body).unwrap()).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        driver.abort();
        for line in head.headers.get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            let key = (host.clone(), name.to_owned());
            if value.is_empty() || line.contains("Max-Age=0") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        let onward = head.headers.get(LOCATION).map(|location| location.to_str().unwrap().to_owned());
        (head.status, onward, String::from_utf8_lossy(&body).into_owned())
    }

    /// From an address of the app to wherever the sign-in ends.
    async fn sign_in(&mut self, url: &str, person: &Person) -> Page {
        let page = self.go(url, None).await;
        assert!(page.body.contains("Sign in to the pretend org"), "{} {}: {}", page.status, page.url, page.body);
        let org = url::Url::parse(&page.url).unwrap();
        let onward = org.query_pairs().find(|pair| pair.0 == "startURL").unwrap().1.into_owned();
        let form = [("person", person.username), ("startURL", onward.as_str())];
        let page = self.go(org.join("/login").unwrap().as_str(), Some(&form)).await;
        if !page.body.contains("Allow access?") {
            return page;
        }
        let source = page.url.split_once("source=").unwrap().1.to_owned();
        let action = page.url.split_once('?').unwrap().0.to_owned();
        self.go(&action, Some(&[("source", &source), ("decision", "allow")])).await
    }
}

async fn demo() -> Demo {
    demo_by(Protocol::Oidc).await
}

async fn demo_by(protocol: Protocol) -> Demo {
    static RING: OnceLock<std::sync::Arc<KeyRing>> = OnceLock::new();
    let keys = RING.get_or_init(|| KeyRing::generate(KeySize::Small).unwrap()).clone();
    let org = emulator::Settings { keys: Some(keys), ..emulator::Settings::default() };
    Demo::start(Settings { port: 0, protocol, org }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_ends_where_they_began_and_the_app_knows_them() {
    let demo = demo().await;
    let mut visitor = Visitor::default();
    let deep = format!("{}/wiki/page?tab=2&q=a%20b", demo.address);
    let page = visitor.sign_in(&deep, &ADMINISTRATOR).await;
    assert_eq!((page.status, page.url.as_str()), (StatusCode::OK, deep.as_str()), "{}", page.body);
    assert!(page.body.contains("You are signed in as <em>Ada Lovell</em>"), "{}", page.body);
    let latest = demo.app.latest().unwrap();
    assert_eq!(latest.target, "/wiki/page?tab=2&q=a%20b");
    assert_eq!(latest.headers["x-salesforce-user-id"], ADMINISTRATOR.user);
    assert!(!latest.headers.contains_key(COOKIE));
    assert_eq!(demo.app.hits(), 1);
    demo.shutdown().await;
}

/// Action and hidden fields of a page's form.
fn form(page: &Page) -> (String, Vec<(String, String)>) {
    let unescape = |text: &str| text.replace("&#x2f;", "/").replace("&amp;", "&");
    let action = page.body.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let hidden = page.body.split("type=\"hidden\" name=\"").skip(1).map(|rest| {
        let (name, rest) = rest.split_once("\" value=\"").unwrap();
        (name.to_owned(), unescape(rest.split('"').next().unwrap()))
    });
    (unescape(action), hidden.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demonstration_speaks_saml_in_both_bindings() {
    for protocol in [Protocol::Saml, Protocol::SamlPost] {
        let demo = demo_by(protocol).await;
        let mut visitor = Visitor::default();
        let deep = format!("{}/wiki/page?tab=2&q=a%20b", demo.address);
        let mut page = visitor.go(&deep, None).await;
        if protocol == Protocol::SamlPost {
            assert!(page.body.contains("Continue to Salesforce"), "{}", page.body);
            let (action, fields) = form(&page);
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            page = visitor.go(&action, Some(&fields)).await;
        }
        let page = visitor.sign_in(&page.url, &ADMINISTRATOR).await;
        let (action, fields) = form(&page);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let page = visitor.go(&action, Some(&fields)).await;
        assert_eq!((page.status, page.url.as_str()), (StatusCode::OK, deep.as_str()), "{}", page.body);
        assert!(page.body.contains("You are signed in as <em>"), "{}", page.body);
        demo.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demonstration_offers_both_protocols_unless_told_otherwise() {
    let demo = demo_by(Protocol::default()).await;
    let page = Visitor::default().go(&format!("{}/wiki", demo.address), None).await;
    assert!(page.url.contains("/.portcullis/start?return_to="), "{}", page.url);
    let both = ["Pretend org, by OpenID Connect", "Pretend org, by SAML", "provider=oidc", "provider=saml"];
    assert!(both.iter().all(|part| page.body.contains(part)), "{}", page.body);
    assert_eq!(demo.app.hits(), 0);
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_come_in_reaches_no_app() {
    let demo = demo().await;
    for person in [PARTNER, INACTIVE, NOT_APPROVED, FOREIGNER] {
        let page = Visitor::default().sign_in(&format!("{}/", demo.address), &person).await;
        assert!(page.status.is_client_error(), "{}: {} {}", person.username, page.status, page.body);
        assert!(page.url.starts_with(&demo.address), "{}", page.url);
    }
    assert_eq!(demo.app.hits(), 0);
    demo.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_words_name_every_address_and_person() {
    let demo = demo().await;
    let words = demo.words();
    for part in [demo.address.as_str(), demo.org.org_url(), &demo.app.url(), "Ctrl-C", PASSWORD, "/metrics"] {
        assert!(words.contains(part), "{words}");
    }
    assert!(demo.org.people().iter().all(|person| words.contains(person.username)));
    let taken =
        Demo::start(Settings { port: url::Url::parse(&demo.address).unwrap().port().unwrap(), ..Settings::default() });
    assert!(matches!(taken.await, Err(Problem::Port { .. })));
    demo.shutdown().await;
}
