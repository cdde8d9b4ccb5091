//! The pretend Salesforce org: everything of `salesforce.md` section 9 that a sign-in by OpenID Connect meets.
//!
//! It listens on loopback as three hosts: My Domain, the shared login host, and an Experience Cloud site that
//! has a path. Each behaviour is marked by its number where it lives. People are fixed (`people`), the app is
//! changeable while it runs (`Running::configure`), and one mischief at a time can be on (`Running::set`).
//! Started by `demo` and by the tests; the gateway never knows that it is not the real one.

mod authorize;
mod client;
pub mod complaints;
mod discovery;
mod grants;
pub mod idtoken;
pub mod keys;
pub mod mischief;
mod pages;
pub mod people;
pub mod saml;
pub mod settings;
mod signin;
pub mod token;
mod upkeep;
mod userinfo;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::header::LOCATION;
use hyper::{Method, StatusCode};
use tokio::task::JoinHandle;

pub use keys::KeyRing;
pub use mischief::Mischief;
pub use people::Person;
pub use saml::{SamlApp, SamlMischief};
pub use settings::{App, Settings};

use crate::clock::Timestamp;
use crate::http::{self, Request, Response};
use crate::server::{self, Door, Drain, Limits};
use grants::Memory;
use pages::Pages;
use saml::SamlMemory;
use settings::{OrgKind, Redirects};
use wire::{Form, Head};

/// The path of the pretend Experience Cloud site.
const SITE_PATH: &str = "/portal";
/// How long requests may take that are under way when the org stops.
const GRACE: Duration = Duration::from_millis(200);

/// The way in: [`Emulator::start`].
pub struct Emulator;

impl Emulator {
    /// Starts a pretend org on free loopback ports of the current tokio runtime.
    ///
    /// # Errors
    /// When a port cannot be had or a key cannot be made.
    pub async fn start(settings: Settings) -> io::Result<Running> {
        let keys = match settings.keys.clone() {
            Some(keys) => keys,
            None => tokio::task::spawn_blocking(move || KeyRing::generate(settings.key_size)).await??,
        };
        let pages = Pages::new().map_err(io::Error::other)?;
        let mut bases = Vec::new();
        let mut listeners = Vec::new();
        for kind in [BaseKind::MyDomain, BaseKind::Login, BaseKind::Site] {
            let port = if kind == BaseKind::MyDomain { settings.port } else { 0 };
            let bound = server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), 1)?;
            let path = if kind == BaseKind::Site { SITE_PATH } else { "" };
            for listener in bound {
                bases.push(Base {
                    kind,
                    url: format!("http://{}{path}", listener.local_addr()?),
                    path: path.to_owned(),
                });
                listeners.push(listener);
            }
        }
        let org = Arc::new(Org {
            kind: settings.kind,
            redirects: settings.redirects,
            keys,
            pages,
            drain: Drain::new(),
            instance: url_of(&bases, BaseKind::MyDomain),
            login: url_of(&bases, BaseKind::Login),
            site: url_of(&bases, BaseKind::Site),
            app: Mutex::new(settings.app),
            mischief: Mutex::new(settings.mischief),
            memory: Mutex::new(Memory::default()),
            saml: Mutex::new(SamlMemory::default()),
            notes: Mutex::new(Notes::default()),
        });
        let doors = bases.into_iter().zip(listeners).map(|(base, listener)| {
            let door = Door::new(listener, None, &Limits::default(), Arc::new(|_| {}), org.drain.clone());
            let (org, base) = (Arc::clone(&org), Arc::new(base));
            tokio::spawn(server::serve(door, move |arrival, _| {
                let (org, base) = (Arc::clone(&org), Arc::clone(&base));
                async move { org.handle(&base, arrival.into_request(), Timestamp::now()).await }
            }))
        });
        let doors = doors.collect();
        Ok(Running { org, doors })
    }
}

/// A pretend org at work. It stops when dropped, or in good order by [`Running::shutdown`].
pub struct Running {
    org: Arc<Org>,
    doors: Vec<JoinHandle<()>>,
}

impl Running {
    /// My Domain: `http://127.0.0.1:PORT`.
    pub fn org_url(&self) -> &str {
        &self.org.instance
    }

    /// The login host that all orgs share.
    pub fn login_url(&self) -> &str {
        &self.org.login
    }

    /// The Experience Cloud site, with its path.
    pub fn site_url(&self) -> &str {
        &self.org.site
    }

    /// Everybody who can sign in.
    pub fn people(&self) -> &'static [Person] {
        &people::EVERYBODY
    }

    /// The app as it is set up now.
    pub fn app(&self) -> App {
        self.org.app()
    }

    /// Changes the app's settings.
    pub fn configure(&self, change: impl FnOnce(&mut App)) {
        change(&mut lock(&self.org.app));
    }

    /// Registers another callback URL.
    pub fn register(&self, redirect_uri: impl Into<String>) {
        self.configure(|app| app.redirect_uris.push(redirect_uri.into()));
    }

    /// Misbehaves from now on, in this way only.
    pub fn set(&self, mischief: impl Into<Mischief>) {
        *lock(&self.org.mischief) = Some(mischief.into());
    }

    /// Behaves again.
    pub fn behave(&self) {
        *lock(&self.org.mischief) = None;
    }

    /// Forgets everybody's sessions, approvals, codes and tokens.
    pub fn forget(&self) {
        *lock(&self.org.memory) = Memory::default();
        *lock(&self.org.saml) = SamlMemory::default();
    }

    /// How often an endpoint was asked: `discovery`, `keys`, `authorize`, `sign-in page`, `sign-in`, `approval`,
    /// `token`, `userinfo`, `identity`, `revoke`, `introspect`, `sign-out`; `saml-metadata`, `saml-request`,
    /// `saml-response`, `saml-idp-login`, `saml-logout`, `saml-logout-sent`, `saml-logout-answered`.
    pub fn count(&self, endpoint: &str) -> u64 {
        lock(&self.org.notes).counts.get(endpoint).copied().unwrap_or_default()
    }

    /// The names of the latest token request's parameters, in order.
    pub fn token_parameters(&self) -> Vec<String> {
        lock(&self.org.notes).token_parameters.clone()
    }

    /// How the client of the latest token request made itself known: `client_secret_post`,
    /// `client_secret_basic`, `private_key_jwt` or `none`.
    pub fn client_authentication(&self) -> Option<&'static str> {
        lock(&self.org.notes).client_authentication
    }

    /// Sets the app up for SAML: who the service provider is, and where its Responses go.
    pub fn register_saml(&self, entity_id: impl Into<String>, acs_url: impl Into<String>) {
        let (entity_id, acs_url) = (entity_id.into(), acs_url.into());
        self.configure(|app| (app.saml.entity_id, app.saml.acs_url) = (entity_id, acs_url));
    }

    /// The identity provider's certificate as it is now, in PEM.
    pub fn certificate(&self) -> String {
        self.org.keys.saml().certificate(self.app().saml.certificate).to_owned()
    }

    /// Every line of the identity provider's event log.
    pub fn events(&self) -> Vec<saml::Event> {
        self.org.saml().events()
    }

    /// The latest form that a browser was to post: to send it again, or to change it first.
    pub fn last_saml_form(&self) -> Option<saml::Sent> {
        self.org.saml().sent()
    }

    /// The XML of the latest `AuthnRequest`, whether or not it was accepted.
    pub fn last_saml_request(&self) -> Option<String> {
        self.org.saml().request()
    }

    /// Stops: no new connections, a moment for running requests, then the end.
    pub async fn shutdown(mut self) {
        self.org.drain.begin();
        let doors = std::mem::take(&mut self.doors);
        let ended = async {
            for door in doors {
                // a door that panicked is as closed as any other
                drop(door.await);
            }
        };
        tokio::pin!(ended);
        if tokio::time::timeout(GRACE, &mut ended).await.is_err() {
            self.org.drain.cut();
            ended.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.org.drain.cut();
    }
}

/// One of the hosts that the org answers as. The issuer is the base that was asked (behaviour 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Which kind.
    pub kind: BaseKind,
    /// Scheme, host, port and path, without a trailing slash: the issuer.
    pub url: String,
    /// The path alone; empty but for the site.
    pub path: String,
}

/// The kinds of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseKind {
    /// `https://login.salesforce.com`
    Login,
    /// `https://acme.my.salesforce.com`
    MyDomain,
    /// `https://acme.my.site.com/portal`
    Site,
}

#[derive(Default)]
struct Notes {
    counts: BTreeMap<&'static str, u64>,
    token_parameters: Vec<String>,
    client_authentication: Option<&'static str>,
}

/// The org behind all doors.
struct Org {
    kind: OrgKind,
    redirects: Redirects,
    keys: Arc<KeyRing>,
    pages: Pages,
    drain: Drain,
    instance: String,
    login: String,
    site: String,
    app: Mutex<App>,
    mischief: Mutex<Option<Mischief>>,
    memory: Mutex<Memory>,
    saml: Mutex<SamlMemory>,
    notes: Mutex<Notes>,
}

impl Org {
    async fn handle(&self, base: &Base, request: Request, now: Timestamp) -> Response {
        let (parts, body) = request.into_parts();
        let query = Form::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let raw = parts.uri.query().unwrap_or_default().to_owned();
        let head = Head { method: parts.method, query, raw, headers: parts.headers };
        let Some(body) = wire::read(body).await else { return http::text(StatusCode::PAYLOAD_TOO_LARGE, "") };
        let form = Form::parse(&body);
        let whole = parts.uri.path();
        let Some(path) = whole.strip_prefix(base.path.as_str()) else { return outside(base, whole) };
        let post = head.method == Method::POST;
        match path {
            "/.well-known/openid-configuration" => self.discovery(base),
            "/id/keys" => self.key_set(),
            "/services/oauth2/authorize" => self.authorize(base, &head, &form),
            "/" if !post => self.sign_in_page(base, &head),
            "/login" if post => self.sign_in(base, &form),
            authorize::APPROVAL if post => self.decide(base, &head, &form, now),
            authorize::APPROVAL => self.approval(base, &head, now),
            "/services/oauth2/token" => self.token(base, &head, &form, now).await,
            "/services/oauth2/userinfo" => self.userinfo(&head, &form, now),
            "/services/oauth2/revoke" => self.revoke(&head, &form),
            "/services/oauth2/introspect" => self.introspect(base, &head, &form, now),
            // behaviour 27: not at the login host
            "/services/auth/idp/oidc/logout" if base.kind != BaseKind::Login => self.sign_out(base, &head, &form, now),
            "/secur/logout.jsp" => self.sign_out(base, &head, &form, now),
            "/style.css" => self.pages.style(),
            _ if userinfo::is_identity_path(base, path) => self.identity_url(&head, path, now),
            _ => match self.saml_endpoint(base, path, &head, &form, now) {
                Some(response) => response,
                None => http::text(StatusCode::NOT_FOUND, "There is no such page at the pretend org."),
            },
        }
    }

    fn app(&self) -> App {
        lock(&self.app).clone()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        lock(&self.memory)
    }

    fn mischief(&self) -> Option<Mischief> {
        *lock(&self.mischief)
    }

    fn note(&self, endpoint: &'static str) {
        *lock(&self.notes).counts.entry(endpoint).or_default() += 1;
    }

    fn note_token_request(&self, parameters: Vec<String>) {
        let mut notes = lock(&self.notes);
        notes.token_parameters = parameters;
        notes.client_authentication = None;
    }

    fn note_client(&self, way: &'static str) {
        lock(&self.notes).client_authentication = Some(way);
    }
}

// behaviour 1: a site's root knows where its documents are, and nothing else
fn outside(base: &Base, path: &str) -> Response {
    let mut response = http::text(StatusCode::NOT_FOUND, "There is no such page at the pretend org.");
    if path == "/.well-known/openid-configuration" {
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        response = wire::with(response, LOCATION, &format!("{}{path}", base.url));
    }
    response
}

fn url_of(bases: &[Base], kind: BaseKind) -> String {
    bases.iter().find(|base| base.kind == kind).map_or_else(String::new, |base| base.url.clone())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
