//! A browser without a screen: keeps cookies as a browser does, follows redirects, fills in forms, and remembers
//! the whole conversation for when a test fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{COOKIE, HOST, HeaderName, LOCATION, SET_COOKIE};
use hyper::{HeaderMap, Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::Url;

mod reply;

pub use reply::Reply;

/// What every token of the pretend org has: a JWT's header or what divides it from its claims, and an access token's
/// beginning. Chance does not write them: random words of ours have no dots and no exclamation marks, and hit upon
/// `eyJ` alone once in some hundred runs.
pub const TOKENS: [&str; 3] = ["eyJhbGciOi", ".eyJ", "00D5g00000PrtCl!"];

/// What a browser sends when it goes to a page.
const NAVIGATION: [(&str, &str); 4] = [
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("user-agent", "a test's browser"),
];

/// A cookie in the jar.
#[derive(Clone, Debug)]
struct Kept {
    value: String,
    secure: bool,
    /// `SameSite=None`: it travels with forms that other sites post.
    everywhere: bool,
}

/// Browsers hold these names for as safe as https.
fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || url.host_str().is_some_and(|host| host == "localhost" || host.ends_with(".localhost"))
}

/// The browser.
#[derive(Clone, Default)]
pub struct Browser {
    /// By host (cookies do not know ports) and name.
    jar: BTreeMap<(String, String), Kept>,
    tls: Option<Arc<rustls::ClientConfig>>,
    /// Whether answers come as forms.
    pub speaks_saml: bool,
    conversation: String,
}

impl Browser {
    pub fn new() -> Self {
        Self::default()
    }

    /// One that trusts these certificates.
    pub fn trusting(tls: Arc<rustls::ClientConfig>) -> Self {
        Self { tls: Some(tls), ..Self::default() }
    }

    /// A cookie's value.
    pub fn cookie(&self, host: &str, name: &str) -> Option<String> {
        self.jar.get(&(host.to_owned(), name.to_owned())).map(|kept| kept.value.clone())
    }

    /// Names of all cookies for a host.
    pub fn cookie_names(&self, host: &str) -> Vec<String> {
        self.jar.keys().filter(|(theirs, _)| theirs == host).map(|(_, name)| name.clone()).collect()
    }

    pub fn set_cookie(&mut self, host: &str, name: &str, value: &str) {
        self.jar.insert(
            (host.to_owned(), name.to_owned()),
            Kept { value: value.to_owned(), secure: false, everywhere: false },
        );
    }

    pub fn forget_cookie(&mut self, host: &str, name: &str) {
        self.jar.remove(&(host.to_owned(), name.to_owned()));
    }

    /// One navigation, without following redirects.
    pub async fn get(&mut self, url: impl AsRef<str>) -> Reply {
        self.send(Method::GET, url.as_ref(), &NAVIGATION, Bytes::new()).await
    }

    /// One request as a program sends it.
    pub async fn fetch(
        &mut self,
        method: Method,
        url: impl AsRef<str>,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        self.send(method, url.as_ref(), headers, body.into()).await
    }

    /// Goes to a page, through every redirect.
    pub async fn visit(&mut self, url: impl AsRef<str>) -> Reply {
        let reply = self.get(url).await;
        self.follow(reply).await
    }

    /// Follows redirects to the end.
    pub async fn follow(&mut self, mut reply: Reply) -> Reply {
        for _ in 0..30 {
            if !reply.status.is_redirection() {
                return reply;
            }
            let next = reply.location();
            reply = self.get(next).await;
        }
        panic!("redirected without end:\n{}", self.conversation);
    }

    /// Sends a form, as a page of the same origin does; without following.
    pub async fn post(&mut self, url: &Url, form: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let origin = url.origin().ascii_serialization();
        let mut headers = NAVIGATION.to_vec();
        headers.push(("origin", &origin));
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        self.send(Method::POST, url.as_str(), &headers, body.into()).await
    }

    /// Presses the button of a page whose form goes elsewhere: of the cookies there, only those that travel with
    /// forms of other sites come along.
    pub async fn submit(&mut self, page: &Reply) -> Reply {
        let fields = page.fields();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post_from(&page.url, &page.action(), &fields).await
    }

    /// Sends a form from a page of another site; without following.
    pub async fn post_from(&mut self, page: &Url, url: &Url, form: &[(&str, &str)]) -> Reply {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut headers = NAVIGATION.to_vec();
        headers.push(("origin", "null"));
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        let elsewhere = page.host_str() != url.host_str();
        self.send_from(elsewhere, Method::POST, url.as_str(), &headers, body.into()).await
    }

    /// From a closed page of the app to the org's page that posts the answer, which is not sent yet.
    pub async fn sign_in_until_form(&mut self, page: &str, username: &str) -> Reply {
        let reply = self.walk(page, username, "allow").await;
        assert!(reply.carries("SAMLResponse"), "no answer: {} {}\n{}", reply.status, reply.body, self.conversation);
        reply
    }

    /// From a closed page of the app to the callback's address, which is returned without being visited.
    pub async fn sign_in_until_callback(&mut self, page: &str, username: &str) -> Url {
        let reply = self.walk(page, username, "allow").await;
        let next = reply.status.is_redirection().then(|| reply.location());
        next.unwrap_or_else(|| {
            panic!("the sign-in went nowhere: {} {}\n{}", reply.status, reply.body, self.conversation)
        })
    }

    /// Tries to sign in, whatever comes of it: the answer that is neither a redirect nor a page of the org.
    pub async fn try_sign_in(&mut self, page: &str, username: &str, decision: &str) -> Reply {
        let mut reply = self.walk(page, username, decision).await;
        if reply.carries("SAMLResponse") {
            reply = self.submit(&reply).await;
        }
        self.follow(reply).await
    }

    /// On through the org's pages, until it sends the browser back or shows none of its forms.
    async fn walk(&mut self, page: &str, username: &str, decision: &str) -> Reply {
        let mut reply = self.get(page).await;
        for _ in 0..30 {
            if reply.status.is_redirection() {
                let next = reply.location();
                if next.path().ends_with("/callback") || next.path().contains("/callback/") {
                    return reply;
                }
                reply = self.get(next).await;
            } else if reply.carries("SAMLRequest") {
                reply = self.submit(&reply).await;
            } else if let Some(source) = reply.hidden("source") {
                reply = self.post(&reply.action(), &[("source", &source), ("decision", decision)]).await;
            } else if let Some(onward) = reply.hidden("startURL") {
                reply = self.post(&reply.action(), &[("startURL", &onward), ("person", username)]).await;
            } else if let Some(onward) = reply.scripted() {
                reply = self.get(onward).await;
            } else {
                return reply;
            }
        }
        panic!("the sign-in goes round in circles:\n{}", self.conversation);
    }

    /// From a closed page of the app through sign-in and approval to wherever that leads.
    pub async fn sign_in(&mut self, page: &str, username: &str) -> Reply {
        if self.speaks_saml {
            let answer = self.sign_in_until_form(page, username).await;
            let reply = self.submit(&answer).await;
            return self.follow(reply).await;
        }
        let callback = self.sign_in_until_callback(page, username).await;
        self.visit(callback).await
    }

    async fn send(&mut self, method: Method, url: &str, headers: &[(&str, &str)], body: Bytes) -> Reply {
        self.send_from(false, method, url, headers, body).await
    }

    /// `elsewhere`: it is a form that a page of another site posts.
    async fn send_from(
        &mut self,
        elsewhere: bool,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Reply {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let host = url.host_str().unwrap().to_owned();
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut request = hyper::Request::builder().method(method.clone()).uri(target).header(HOST, url.authority());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let cookies: Vec<String> = self
            .jar
            .iter()
            .filter(|((theirs, _), kept)| *theirs == host && (!kept.secure || is_safe(&url)))
            .filter(|(_, kept)| kept.everywhere || !elsewhere)
            .map(|((_, name), kept)| format!("{name}={}", kept.value))
            .collect();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        let request = request.body(Full::new(body)).unwrap();
        let reply = exchange(&url, self.tls.clone(), request).await;
        self.keep_cookies(&reply, &host);
        _ = writeln!(self.conversation, "{method} {url}\n  -> {} {:?}", reply.status, reply.header("location"));
        audit(&reply);
        reply
    }

    /// Keeps cookies by the rules of RFC 6265bis that matter here: `Max-Age=0` deletes, `__Host-` needs `Secure`,
    /// `Path=/` and no `Domain`, `Secure` needs https.
    fn keep_cookies(&mut self, reply: &Reply, host: &str) {
        for line in reply.cookies() {
            let mut parts = line.split(';').map(str::trim);
            let (name, value) = parts.next().unwrap().split_once('=').unwrap();
            let attributes: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
            let has = |attribute: &str| attributes.iter().any(|theirs| theirs == attribute);
            let key = (host.to_owned(), name.to_owned());
            if (has("secure") && !is_safe(&reply.url)) || (has("samesite=none") && !has("secure")) {
                continue;
            }
            let domain = attributes.iter().any(|attribute| attribute.starts_with("domain"));
            if name.starts_with("__Host-") && (!has("secure") || !has("path=/") || domain) {
                continue;
            }
            if has("max-age=0") {
                self.jar.remove(&key);
            } else {
                let (secure, everywhere) = (has("secure"), has("samesite=none"));
                self.jar.insert(key, Kept { value: value.to_owned(), secure, everywhere });
            }
        }
    }
}

/// What no answer of the gateway may hold.
fn audit(reply: &Reply) {
    for line in reply.cookies() {
        if line.contains("portcullis") {
            // What SAML's answer has to find, and never the session.
            let attempt = line.contains("portcullis-attempt-") || line.contains("portcullis-bounce=");
            let travels = attempt && line.contains("SameSite=None; Secure");
            for flag in ["HttpOnly", if travels { "SameSite=None" } else { "SameSite=Lax" }, "Path=/"] {
                assert!(line.contains(flag), "{flag} is missing: {line}");
            }
        }
    }
    for secret in TOKENS {
        let ours = reply.url.path().contains("/.portcullis");
        assert!(!ours || !reply.body.contains(secret), "{} tells a secret: {}", reply.url, reply.body);
    }
}

async fn exchange(url: &Url, tls: Option<Arc<rustls::ClientConfig>>, request: hyper::Request<Full<Bytes>>) -> Reply {
    let port = url.port_or_known_default().unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    let (head, body) = if url.scheme() == "https" {
        let connector = tokio_rustls::TlsConnector::from(tls.expect("a browser that speaks TLS"));
        let name = url.host_str().unwrap().to_owned().try_into().unwrap();
        talk(connector.connect(name, stream).await.unwrap(), request).await
    } else {
        talk(stream, request).await
    };
    Reply {
        url: url.clone(),
        status: head.status,
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

async fn talk<IO>(io: IO, request: hyper::Request<Full<Bytes>>) -> (http::response::Parts, Bytes)
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    driver.abort();
    (head, body)
}

/// A header name for tests that need an odd one.
pub fn name(text: &str) -> HeaderName {
    HeaderName::from_bytes(text.as_bytes()).unwrap()
}
