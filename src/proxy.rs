//! Walking the visitor through: rewrite, send, stream back.
//!
//! One straight way, in an order that is the safety: hop-by-hop fields out, then every spelling of a managed
//! name, then our cookies, and only then the identity, so that nothing a client sent can stand beside it or
//! remove it. `forward` takes a `Pass`, which `policy::decide` alone can make. Called by `gateway`.

pub mod absolute;
pub mod by_connection;
pub mod group;
pub mod headers;
pub mod inject;
mod interim;
pub mod introduce;
pub mod outgoing;
mod rumours;
pub mod stream;
pub mod survey;
pub mod upgrade;
pub mod upstream;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http_body::Body as _;
use hyper::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, StatusCode, Uri, Version};

use crate::clock::Timestamp;
use crate::http::arrival::{Head, Outline};
use crate::http::fields::Fields;
use crate::http::tunnel::Promise;
use crate::http::{Arrival, Body, Neighbours, Peer, Remote, Reply, Request, Scheme};
use crate::policy::Pass;
use crate::session::Session;
use crate::session::cookie::{self, Stripped};
use crate::telemetry::RequestId;
use by_connection::AfterBody;
use group::{Answered, Group, Roster};
use headers::{Forwarded, Forwarding};
use inject::{Injector, Managed};
use introduce::Introducer;
use outgoing::{Added, Outgoing, Plain, Shape};
use stream::{Progress, RequestBody, ResponseBody, Visitor};
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
    /// Who is at the other end.
    pub peer: &'a Peer,
    /// The public address's scheme.
    pub scheme: Scheme,
    /// The tunnel that was asked for.
    pub tunnel: Option<Box<Opening>>,
    /// What the log calls it.
    pub id: &'a RequestId,
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

    /// Whether two routes lead to the same app.
    pub fn share_app(&self, route: usize, other: usize) -> bool {
        let roster = |route: usize| self.apps.get(route).map(Group::roster);
        route == other || roster(route).zip(roster(other)).is_some_and(|(one, other)| one.is_same_app(other))
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
        let group = self.apps.get(pass.route()).ok_or(UpstreamFault::NoAddress)?;
        let client = context.tunnel.is_some().then(|| Promise::of(arrival.request()));
        let is_by_connection = context.survey.has(Field::Authorization) && by_connection::is_asked(arrival.fields());
        let (mut outgoing, progress) = self.rewrite(arrival, &pass, context);
        let visitor = pass.visitor().map(|session| session.key().as_str());
        let Answered { reply, mut lease } =
            group.send(&mut outgoing, progress.as_deref(), visitor, &mut asked.address).await?;
        let answered = Instant::now();
        asked.answered = Some(answered);
        let (mut head, body) = reply.into_parts();
        let is_last = progress.is_some() && self.after_body(&pass) == AfterBody::Close;
        if is_last || is_by_connection || by_connection::is_offered(&head) {
            lease.make_somebodys();
        }
        let misbehaved =
            |cause: &str| UpstreamFault::Misbehaved { address: lease.address().clone(), cause: cause.to_owned() };
        if let Some(opening) = &context.tunnel {
            opening.check(head.status, &head.parts().headers).map_err(misbehaved)?;
        }

        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let (Some(client), Some(opening), Some(session)) = (client, &context.tunnel, pass.visitor()) else {
                return Err(misbehaved("it switched protocols although nobody asked"));
            };
            let parts = head.parts();
            let named = parts.headers.get(UPGRADE).cloned();
            headers::clean_response(&mut parts.headers);
            cookie::drop_impostors(&mut parts.headers);
            let app = match body {
                AppBody::Tunnel(stream) => Promise::Kept(stream),
                body => {
                    let answer = hyper::Response::from_parts(parts.clone(), body);
                    Promise::Upgrade(hyper::upgrade::on(answer), upstream::UNWRAP)
                }
            };
            let status = opening.clone().accept(&mut parts.headers, named);
            let bounds = Bounds { session: Arc::clone(session), id: *context.id, now: context.now };
            self.tunnels.join(client, app, bounds, lease);
            head.status = status;
            head.end_hop();
            return Ok(Reply::from_parts(head, Body::Empty));
        }

        if absolute::is_stripped(context.scheme, lease.address()) {
            absolute::publish(&mut head, context.host);
        }
        clean(&mut head);
        // Whoever was signed out meanwhile gets no more than the head, however little there is.
        let has_ended = pass.visitor().is_some_and(|session| session.has_ended());
        let body = match if has_ended { Err(body) } else { body.at_hand() } {
            Ok(body) => {
                lease.give_back(progress.as_ref(), answered);
                body
            }
            Err(body) => {
                let idle_timeout = group.settings().idle_timeout.value;
                let body = ResponseBody::new(body, lease, progress, self.tunnels.cut.clone(), idle_timeout);
                Body::streamed(body.called(*context.id).bound_to(visitor_of(&pass, context)))
            }
        };
        Ok(Reply::from_parts(head, body))
    }

    /// The request that the app receives.
    fn rewrite<'a>(
        &'a self,
        arrival: &'a mut Arrival,
        pass: &'a Pass,
        context: &Context<'a>,
    ) -> (Outgoing<'a>, Option<Arc<Progress>>) {
        let strips = context.survey.has(Field::Destination) && self.strips_destination(pass, context.scheme);
        let goes_as_lines = context.tunnel.is_none()
            && !strips
            && matches!(arrival, Arrival::Plain(head) if headers::goes_as_lines(head.lines.fields(), context.survey));
        let (outgoing, progress) = if goes_as_lines && let Arrival::Plain(head) = arrival {
            let (lines, forwarding) = (&mut head.lines, self.forwarding(context));
            let forwarded = headers::clean_request_lines(lines, context.survey, &self.managed, forwarding);
            (Outgoing::plain(strip(head, context), self.added(forwarded, pass, context)), None)
        } else {
            let mut request = arrival.take();
            if strips {
                absolute::strip(request.headers_mut(), context.host);
            }
            self.rewrite_whole(request, pass, context)
        };
        (outgoing.heard_by(context.peer.interim.as_ref()).coming_at(context.began), progress)
    }

    fn rewrite_whole<'a>(
        &'a self,
        mut request: Box<Request>,
        pass: &'a Pass,
        context: &Context<'a>,
    ) -> (Outgoing<'a>, Option<Arc<Progress>>) {
        let (survey, host) = (context.survey, context.host);
        let body = std::mem::take(request.body_mut());
        let headers = request.headers_mut();
        let forwarded = headers::clean_request(headers, survey, self.forwarding(context));
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
            if context.tunnel.is_none() && self.after_body(pass) == AfterBody::Close {
                by_connection::say_last(headers);
            }
            let progress = Progress::new();
            let managed = Arc::clone(&self.managed);
            let body = RequestBody::new(body, managed, Arc::clone(&progress), visitor_of(pass, context));
            (Body::streamed(body), Some(progress))
        };
        // An upgrade that was not taken up went with what concerns the hop.
        let is_head = progress.is_none() && !survey.has(Field::Framing) && context.tunnel.is_none();
        let shape = if is_head && *request.method() != Method::CONNECT { Shape::Head } else { Shape::Any };
        *request.body_mut() = body;
        *request.uri_mut() = Uri::from(context.target.clone());
        // What was between the client and us.
        *request.version_mut() = Version::HTTP_11;
        request.extensions_mut().clear();
        (Outgoing::new(request, self.added(forwarded, pass, context), shape), progress)
    }

    /// What becomes of the connection, if this request has a body.
    fn after_body(&self, pass: &Pass) -> AfterBody {
        let group = pass.visitor().and_then(|_| self.apps.get(pass.route()));
        group.map_or(AfterBody::Close, |group| group.roster().after_body())
    }

    fn strips_destination(&self, pass: &Pass, public: Scheme) -> bool {
        self.apps.get(pass.route()).is_some_and(|group| group.roster().strips_destinations(public))
    }

    fn forwarding<'a>(&'a self, context: &Context<'a>) -> Forwarding<'a> {
        let Context { host, scheme, peer, .. } = *context;
        Forwarding { peer: peer.remote, trusted: &self.trusted, scheme, host }
    }

    fn added<'a>(&'a self, forwarded: Forwarded<'a>, pass: &'a Pass, context: &Context<'a>) -> Added<'a> {
        let identity = pass.visitor().map(|session| &session.headers);
        let certificate = self.introducer.introduce(context.peer.certificate.as_deref());
        Added { forwarded: Some(forwarded), identity, certificate }
    }
}

/// Who is signed in, for bodies that may outlast that.
fn visitor_of(pass: &Pass, context: &Context<'_>) -> Option<Visitor> {
    let until = |session: &Session| context.began + session.ends.since(context.now);
    pass.visitor().map(|session| Visitor::new(Arc::clone(session), until(session)))
}

/// Takes our cookies out of a request's lines, and any host but the one that was judged.
fn strip<'a>(head: &'a mut Head, context: &Context<'a>) -> Plain<'a> {
    let lines = &mut head.lines;
    let stripped = match context.survey.has(Field::Cookie) {
        true => cookie::stripped(lines.fields().values(&COOKIE)),
        false => Stripped::Unchanged,
    };
    // One at most: more than one was refused.
    let host = Some(context.host).filter(|host| lines.fields().value(&HOST) != Some(host.as_bytes()));
    if host.is_some() || stripped != Stripped::Unchanged {
        let has_new_cookies = stripped != Stripped::Unchanged;
        lines.retain(|field| !(has_new_cookies && field.is("cookie") || host.is_some() && field.is("host")));
    }
    let cookies = match stripped {
        Stripped::Line(line) => line,
        Stripped::Unchanged => Vec::new(),
    };
    Plain { method: &head.method, target: context.target, lines, host, cookies }
}

/// Cleans an answer's head for the client, as lines where they are and that suffices.
fn clean(head: &mut Outline) {
    head.end_hop();
    if head.lines().is_some_and(headers::clean_response_lines) {
        return;
    }
    let headers = &mut head.parts().headers;
    headers::clean_response(headers);
    cookie::drop_impostors(headers);
}

#[cfg(test)]
mod tests;
