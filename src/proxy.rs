//! Walking the visitor through: rewrite, send, stream back.
//!
//! One straight way, in an order that is the safety: hop-by-hop fields out, then every spelling of a managed
//! name, then our cookies, and only then the identity, so that nothing a client sent can stand beside it or
//! remove it. `forward` takes a `Pass`, which `policy::decide` alone can make. Called by `gateway`.

pub mod group;
pub mod headers;
pub mod inject;
mod interim;
pub mod introduce;
pub mod outgoing;
pub mod stream;
pub mod survey;
pub mod upgrade;
pub mod upstream;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http_body::Body as _;
use hyper::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::http::response::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::clock::Timestamp;
use crate::http::fields::{Fields, Received};
use crate::http::interim::Sender;
use crate::http::tunnel::Promise;
use crate::http::{Arrival, Body, ClientCertificate, Neighbours, Remote, Reply, Scheme};
use crate::policy::Pass;
use crate::session::cookie::{self, Stripped};
use crate::telemetry::RequestId;
use group::{Answered, Group, Roster};
use headers::Forwarding;
use inject::{Injector, Managed};
use introduce::Introducer;
use outgoing::{Added, CleanedLines, Outgoing, Shape};
use stream::{Progress, RequestBody, ResponseBody};
use survey::{Field, Survey};
use upgrade::{Bounds, Opening, Tunnels};
use upstream::{AppBody, Lines, UpstreamFault};

/// How requests are forwarded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Peers whose `X-Forwarded-*` and `Forwarded` are believed. Default: nobody.
    pub trusted_proxies: Neighbours,
    /// By `Route::index`.
    pub apps: Vec<group::Settings>,
}

/// What one core needs to forward requests.
pub struct Proxy {
    trusted: Neighbours,
    managed: Arc<Managed>,
    introducer: Introducer,
    tunnels: Tunnels,
    /// By `Route::index`.
    apps: Vec<Group>,
    /// What the apps' connections are, whichever route uses them.
    lines: Lines,
}

/// What is known of whom a request was passed on to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// The place of the address that was asked last, among those of the route's app.
    pub address: usize,
    /// When the answer began.
    pub answered: Option<Instant>,
}

/// What is known of a request beside its own words.
pub struct Context<'a> {
    /// Which kinds of fields it has.
    pub survey: Survey,
    /// The canonical target: what was judged.
    pub target: &'a PathAndQuery,
    /// The host that was judged.
    pub host: &'a HeaderValue,
    /// The address at the other end.
    pub peer: Remote,
    /// What the client has shown of itself in the handshake.
    pub certificate: Option<&'a ClientCertificate>,
    /// Where to send what the app says before its answer.
    pub interim: Option<&'a Sender>,
    /// The public address's scheme.
    pub scheme: Scheme,
    /// The tunnel that was asked for.
    pub tunnel: Option<Opening>,
    /// What the log calls it.
    pub id: RequestId,
    /// When it came, by the wall clock.
    pub now: Timestamp,
    /// The same moment, by the clock that durations are measured with.
    pub began: Instant,
}

impl Proxy {
    /// For one of `cores` cores; `rosters` is what all cores know of the apps, by `Route::index`.
    pub fn new(
        settings: &Settings,
        rosters: &[Arc<Roster>],
        injector: &Injector,
        tunnels: Tunnels,
        cores: usize,
    ) -> Self {
        let mut lines = Lines::default();
        Self {
            trusted: settings.trusted_proxies.clone(),
            managed: Arc::new(injector.managed().clone()),
            introducer: injector.introducer().clone(),
            tunnels,
            apps: rosters.iter().map(|roster| Group::new(Arc::clone(roster), cores, &mut lines)).collect(),
            lines,
        }
    }

    /// Closes app connections that nobody used for too long.
    pub fn sweep(&self) {
        self.lines.sweep();
    }

    /// The name of an address that was asked, where the route has several.
    pub fn address(&self, route: usize, asked: usize) -> Option<&str> {
        self.apps.get(route)?.roster().name(asked)
    }

    /// Which kinds of fields a request's head has.
    pub fn survey(&self, fields: Fields<'_>) -> Survey {
        Survey::of(fields, &self.managed)
    }

    /// The client's address, as far as trusted proxies tell it.
    pub fn client_address(&self, fields: Fields<'_>, peer: Remote) -> Option<IpAddr> {
        headers::client_address(fields, peer, &self.trusted)
    }

    /// Whether what this peer says about its clients is believed.
    pub fn trusts(&self, peer: Remote) -> bool {
        self.trusted.hold(peer)
    }

    /// Forwards one request that may pass, and answers with what the app says; `asked` becomes what is known of whom it
    /// asked.
    ///
    /// # Errors
    /// [`UpstreamFault`] when the app gives no answer that can be passed on.
    pub async fn forward(
        &self,
        arrival: &mut Arrival,
        pass: Pass,
        context: &Context<'_>,
        asked: &mut Asked,
    ) -> Result<Reply, UpstreamFault> {
        let group = self.apps.get(pass.route().index).ok_or(UpstreamFault::NoAddress)?;
        let client = context.tunnel.is_some().then(|| Promise::of(arrival.request()));
        let (mut outgoing, progress) = self.rewrite(arrival, &pass, context);
        let visitor = pass.visitor().map(|session| session.key());
        let Answered { reply, lease } =
            group.send(&mut outgoing, progress.as_deref(), visitor, &mut asked.address).await?;
        let answered = Instant::now();
        asked.answered = Some(answered);
        let (mut lines, mut head, body) = reply.into_parts();
        let misbehaved =
            |cause: &str| UpstreamFault::Misbehaved { address: lease.address().clone(), cause: cause.to_owned() };
        if let Some(opening) = &context.tunnel {
            if let Some(lines) = lines.take() {
                head.headers = lines.map();
            }
            opening.check(head.status, &head.headers).map_err(misbehaved)?;
        }

        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let (Some(client), Some(opening), Some(session)) = (client, &context.tunnel, pass.visitor()) else {
                return Err(misbehaved("it switched protocols although nobody asked"));
            };
            let named = head.headers.get(UPGRADE).cloned();
            headers::clean_response(&mut head.headers);
            cookie::drop_impostors(&mut head.headers);
            let app = match body {
                AppBody::Tunnel(stream) => Promise::Kept(stream),
                body => {
                    let answer = hyper::Response::from_parts(head.clone(), body);
                    Promise::Upgrade(hyper::upgrade::on(answer), upstream::UNWRAP)
                }
            };
            let status = opening.clone().accept(&mut head.headers, named);
            let bounds = Bounds { session: Arc::clone(session), id: context.id, now: context.now };
            self.tunnels.join(client, app, bounds, lease);
            head.status = status;
            return Ok(answer(None, head, Body::Empty));
        }

        let lines = clean(lines, &mut head.headers);
        // Whoever was signed out meanwhile gets no more than the head, however little there is.
        let has_ended = pass.visitor().is_some_and(|session| session.has_ended());
        let body = match if has_ended { Err(body) } else { body.at_hand() } {
            Ok(body) => {
                lease.give_back(progress.as_deref(), answered);
                body
            }
            Err(body) => {
                let idle_timeout = group.settings().idle_timeout.value;
                let body = ResponseBody::new(body, lease, progress, self.tunnels.cut.clone(), idle_timeout);
                let body = body.called(context.id);
                Body::streamed(match pass.visitor() {
                    Some(session) => {
                        body.bound_to(Arc::clone(session), context.began + session.ends.since(context.now))
                    }
                    None => body,
                })
            }
        };
        Ok(answer(lines, head, body))
    }

    /// The request that the app receives.
    fn rewrite<'a>(
        &'a self,
        arrival: &mut Arrival,
        pass: &'a Pass,
        context: &Context<'a>,
    ) -> (Outgoing<'a>, Option<Arc<Progress>>) {
        let (survey, host) = (context.survey, context.host);
        let forwarding =
            Forwarding { peer: context.peer, trusted: &self.trusted, scheme: context.scheme, host: context.host };
        let identity = pass.visitor().map(|session| &session.headers);
        let certificate = self.introducer.introduce(context.certificate);
        if context.tunnel.is_none()
            && let Some(lines) = arrival.lines()
            && let Some(forwarded) = headers::clean_request_lines(lines, survey, &self.managed, forwarding)
        {
            let lines = strip(std::mem::take(lines), survey, host);
            let added = Added { forwarded: Some(forwarded), identity, certificate };
            arrival.take_lines();
            let mut request = std::mem::take(arrival.request());
            *request.uri_mut() = Uri::from(context.target.clone());
            return (Outgoing::plain(request, lines, added).heard_by(context.interim).coming_at(context.began), None);
        }
        let request = arrival.request();
        let body = std::mem::take(request.body_mut());
        let headers = request.headers_mut();
        let forwarded = headers::clean_request(headers, survey, forwarding);
        if survey.has(Field::Managed) {
            self.managed.remove(headers);
        }
        if survey.has(Field::Cookie) {
            cookie::strip(headers);
        }
        // One at most: more than one was refused.
        if headers.get(HOST) != Some(host) {
            headers.insert(HOST, host.clone());
        }
        if let Some(opening) = &context.tunnel {
            opening.ask(headers);
        }
        let (body, progress) = if body.is_end_stream() {
            (Body::Empty, None)
        } else {
            if !headers.contains_key(CONTENT_LENGTH) {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            let progress = Progress::new();
            (Body::streamed(RequestBody::new(body, Arc::clone(&self.managed), Arc::clone(&progress))), Some(progress))
        };
        // An upgrade that was not taken up went with what concerns the hop.
        let is_head = progress.is_none() && !survey.has(Field::Framing) && context.tunnel.is_none();
        let shape = if is_head && *request.method() != Method::CONNECT { Shape::Head } else { Shape::Any };
        *request.body_mut() = body;
        *request.uri_mut() = Uri::from(context.target.clone());
        // What was between the client and us.
        *request.version_mut() = Version::HTTP_11;
        request.extensions_mut().clear();
        let added = Added { forwarded: Some(forwarded), identity, certificate };
        let outgoing = Outgoing::new(std::mem::take(request), added, shape);
        (outgoing.heard_by(context.interim).coming_at(context.began), progress)
    }
}

/// Takes our cookies out of a request's lines, and any host but the one that was judged.
fn strip<'a>(mut lines: Received, survey: Survey, host: &'a HeaderValue) -> CleanedLines<'a> {
    let stripped = match survey.has(Field::Cookie) {
        true => cookie::stripped(lines.fields().values(&COOKIE)),
        false => Stripped::Unchanged,
    };
    // One at most: more than one was refused.
    let host = Some(host).filter(|host| lines.fields().value(&HOST) != Some(host.as_bytes()));
    if host.is_some() || stripped != Stripped::Unchanged {
        let has_new_cookies = stripped != Stripped::Unchanged;
        lines.retain(|field| !(has_new_cookies && field.is("cookie") || host.is_some() && field.is("host")));
    }
    let cookies = match stripped {
        Stripped::Line(line) => line,
        Stripped::Unchanged => Vec::new(),
    };
    CleanedLines { lines, host, cookies }
}

/// Cleans an answer's fields for the client, as lines where they are and that suffices.
fn clean(lines: Option<Received>, headers: &mut HeaderMap) -> Option<Received> {
    if let Some(mut lines) = lines {
        if headers::clean_response_lines(&mut lines) {
            return Some(lines);
        }
        *headers = lines.map();
    }
    headers::clean_response(headers);
    cookie::drop_impostors(headers);
    None
}

/// What was between the app and us is not the client's: the version, and a reason that hyper would repeat.
fn answer(lines: Option<Received>, mut head: Parts, body: Body) -> Reply {
    head.version = Version::HTTP_11;
    head.extensions.clear();
    Reply::from_parts(lines, head, body)
}

#[cfg(test)]
mod tests;
