//! The host of the house: receives a request, asks three questions, and answers.
//!
//! `handle` wraps `judge`: the one keeps the stopwatch, the log line and the page for a refusal, the other is
//! the whole policy of the product as a ladder. Neither knows anything of sockets; `house` wires them to the
//! doors. Called by `server` for every request of the front door.

mod certificates;
mod destination;
mod doors;
mod faults;
mod grpc;
mod house;
mod orders;
mod record;
mod redirect;
mod running;
mod thread;
mod trust;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hyper::header::{CONNECTION, EXPECT, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method, Version};

use crate::clock::Timestamp;
use crate::http::apart::apart;
use crate::http::fields::Fields;
use crate::http::target::{Target, authority};
use crate::http::{Arrival, Peer, Reply, Request, Response, Scheme};
use crate::login::{Declined, Login, Visitor};
use crate::policy::{Decision, Forbidden, Kind, Pass, decide};
use crate::proxy::headers::{BadFraming, check_framing};
use crate::proxy::survey::{Field, Survey};
use crate::proxy::upgrade::connect;
use crate::proxy::upgrade::{Offer, Opening, read_offer};
use crate::proxy::{Context, Proxy};
use crate::refusal::Refusal;
use crate::route::{Found, Routes, Site};
use crate::session::{Session, SessionKey, SiteIndex, cookie};
use crate::telemetry::{self, AccessWriter, Metrics, RequestIds, RouteMetrics};
use certificates::Transport;
use faults::{bad_connect, bad_target, upstream_refusal};
use record::{Moment, Record};

pub use house::{StartProblem, start};
pub use running::Running;

/// One core's gateway. What the cores share is behind `Arc`s.
pub struct Gateway {
    routes: Arc<Routes>,
    login: Arc<Login>,
    proxy: Proxy,
    metrics: Arc<Metrics>,
    /// By `Route::index`; the last one counts what falls to no route.
    route_metrics: Vec<RouteMetrics>,
    access: AccessWriter,
    ids: RequestIds,
    transport: Transport,
}

/// Where a request goes from here.
enum Way<'a> {
    /// To the app.
    Through(Visit<'a>),
    /// To one of our own addresses on that site: the path after our prefix.
    Ours(&'a Site, String),
    /// To whoever can sign somebody in, from that site.
    SignIn(&'a Site),
}

/// A request that may go to its app.
struct Visit<'a> {
    pass: Pass,
    survey: Survey,
    host: &'a HeaderValue,
    scheme: Scheme,
    /// Boxed: few are for one.
    tunnel: Option<Box<Opening>>,
}

impl Gateway {
    /// Answers one request, whatever it is.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps room for each argument twice")]
    pub fn handle(self: Arc<Self>, mut arrival: Arrival, peer: Peer) -> impl Future<Output = Reply> + Send {
        async move {
            let came = Moment { clock: Instant::now(), wall: SystemTime::now() };
            let now = Timestamp::from(came.wall);
            let key = self.first_key(arrival.fields());
            let client = self.proxy.client_address(arrival.fields(), peer.remote);
            let mut record = Record::open(&self, &arrival, client, came);
            let answer = match self.judge(&mut arrival, key, &peer, now, &mut record) {
                Ok(Way::Through(visit)) => self.forward(&mut arrival, visit, &peer, now, &mut record).await,
                // Signing in is rare and its future large.
                Ok(Way::Ours(site, rest)) => apart(|| self.attend(site, rest, &mut arrival, now, &mut record)).await,
                Ok(Way::SignIn(site)) => apart(|| self.send_away(site, &mut arrival, now, &record)).await,
                Err(refusal) => Err(refusal.into()),
            };
            let mut reply = match answer {
                Ok(reply) => reply,
                Err(declined) => self.decline(declined, now, &mut record).into(),
            };
            self.transport.harden(&peer, &mut reply);
            // Left open, the record says that the client went away.
            if !reply.is_unsaid() {
                record.close(reply.status(), reply.length());
            }
            reply
        }
    }

    /// Is this for me or for the app? Who are you? May you?
    fn judge<'a>(
        &'a self,
        arrival: &mut Arrival,
        key: Option<SessionKey>,
        peer: &Peer,
        now: Timestamp,
        record: &mut Record<'a>,
    ) -> Result<Way<'a>, Refusal> {
        let survey = self.proxy.survey(arrival.fields());
        if let Some(key) = &key {
            self.login.sessions.fetch(key);
        }
        let connect = match *arrival.method() {
            Method::CONNECT => connect::receive(arrival.request()).map_err(bad_connect),
            _ => Ok(None),
        };
        let placed = connect.and_then(|connect| Ok((connect, self.place(arrival, peer, survey, record)?)));
        let (connect, (site, target)) = placed.inspect_err(|_| record.keep_as_sent(arrival))?;
        let target = record.target.insert(target);
        let route = match self.routes.find(site, target).map_err(bad_target)? {
            Found::Nothing => return Err(Refusal::NoRoute),
            Found::Ours(_) if connect.is_some() => return Err(Refusal::TunnelNotOffered),
            Found::Ours(rest) => return Ok(Way::Ours(site, rest.to_owned())),
            Found::App(route) => route,
        };
        record.route = Some(route);

        let session = key.and_then(|key| {
            self.load_session(key, site, now).or_else(|| self.find_session(arrival.fields(), site, now))
        });
        record.user = session.as_ref().map(|(_, session)| *session.key());
        if survey.has(Field::Destination) || session.is_none() {
            destination::judge(self, arrival, site, (route, target), session.is_some()).inspect_err(|refusal| {
                if *refusal == Refusal::SignInRequired {
                    record.decision = telemetry::Decision::SignIn;
                }
            })?;
        }
        let connects = connect.is_some();
        let (kind, tunnel) = kind_of(arrival, survey, connect, site)?;
        match decide(route, session.map(|(_, session)| session), kind) {
            Decision::Pass(pass) => {
                let host = site.host.as_ref().ok_or(Refusal::BadRequest("the host cannot be read"))?;
                Ok(Way::Through(Visit {
                    pass,
                    survey,
                    host,
                    scheme: site.origin.scheme(),
                    tunnel: tunnel.map(Box::new),
                }))
            }
            Decision::SignIn => {
                record.decision = telemetry::Decision::SignIn;
                // Any success, were it a page, would be an open tunnel to whoever connects.
                if connects { Err(Refusal::SignInRequired) } else { Ok(Way::SignIn(site)) }
            }
            Decision::Forbid(Forbidden::ForeignTunnel) => {
                record.decision = telemetry::Decision::Forbid;
                Err(Refusal::CrossSite)
            }
        }
    }

    /// What a request is for, if its head can be believed.
    fn place<'a>(
        &'a self,
        arrival: &mut Arrival,
        peer: &Peer,
        survey: Survey,
        record: &mut Record<'a>,
    ) -> Result<(&'a Site, Target), Refusal> {
        // A head without these has nothing to be checked.
        if *arrival.method() == Method::TRACE || survey.has(Field::Framing) || survey.has(Field::Expect) {
            check_head(arrival.request())?;
        }
        let host = authority(arrival.version(), arrival.uri(), arrival.fields()).map_err(bad_target)?;
        let site = self.routes.site(host).ok_or(Refusal::WrongHost)?;
        record.site = Some(site);
        // A proxy that we trust brings many hosts over one connection, and has judged whom it speaks to.
        if !self.transport.fits(peer, site.index) && !self.proxy.trusts(peer.remote) {
            return Err(Refusal::Misdirected);
        }
        let target = Target::parse(arrival.method(), arrival.uri()).map_err(bad_target)?;
        Ok((site, target))
    }

    async fn forward<'a>(
        &'a self,
        arrival: &mut Arrival,
        visit: Visit<'a>,
        peer: &Peer,
        now: Timestamp,
        record: &mut Record<'a>,
    ) -> Result<Reply, Declined> {
        record.decision = match visit.pass.visitor() {
            Some(_) => telemetry::Decision::Pass,
            None => telemetry::Decision::Public,
        };
        let Visit { pass, survey, host, scheme, tunnel } = visit;
        let Record { target, id, came, asked, .. } = record;
        let (target, began) = (target.as_ref().ok_or(Refusal::NoRoute)?.path_and_query(), came.clock);
        let context = Context { survey, target, host, peer, scheme, tunnel, id, now, began };
        let answer = self.proxy.forward(arrival, pass, &context, asked).await;
        asked.answered.get_or_insert_with(Instant::now);
        answer.or_else(|fault| {
            let Some(refusal) = upstream_refusal(fault) else { return Ok(Reply::unsaid()) };
            self.metrics.upstream_event(refusal.code());
            Err(refusal.into())
        })
    }

    /// Answers what is asked of us.
    async fn attend<'a>(
        &'a self,
        site: &'a Site,
        rest: String,
        arrival: &mut Arrival,
        now: Timestamp,
        record: &mut Record<'a>,
    ) -> Result<Reply, Declined> {
        record.decision = telemetry::Decision::Own;
        let (head, body) = arrival.take().into_parts();
        let session = self.find_session((&head.headers).into(), site, now);
        record.user = session.as_ref().map(|(_, session)| *session.key());
        let visitor = visitor(site, (&head.method, &head.headers), session, record, now)?;
        self.login.answer(&rest, body, &visitor).await.map(Reply::from)
    }

    /// Shows somebody the way to sign in.
    async fn send_away(
        &self,
        site: &Site,
        arrival: &mut Arrival,
        now: Timestamp,
        record: &Record<'_>,
    ) -> Result<Reply, Declined> {
        let request = arrival.request();
        let visitor = visitor(site, (request.method(), request.headers()), None, record, now)?;
        self.login.start(&visitor).await.map(Reply::from)
    }

    /// The key that a cookie of this request names first, which is nearly always the only one; where its session lies
    /// is on its way from memory.
    fn first_key(&self, fields: Fields<'_>) -> Option<SessionKey> {
        let key = cookie::read_session(fields, self.login.cookies).next()?;
        self.login.sessions.announce(&key);
        Some(key)
    }

    /// The living session that a cookie of this request names, at this site.
    fn find_session(&self, fields: Fields<'_>, site: &Site, now: Timestamp) -> Option<(SessionKey, Arc<Session>)> {
        cookie::read_session(fields, self.login.cookies).find_map(|key| self.load_session(key, site, now))
    }

    fn load_session(&self, key: SessionKey, site: &Site, now: Timestamp) -> Option<(SessionKey, Arc<Session>)> {
        let session = self.login.sessions.load(&key, SiteIndex(site.index), now)?;
        Some((key, session))
    }

    /// The answer to a request that was declined, and the operator's line about it.
    fn decline(&self, declined: Declined, now: Timestamp, record: &mut Record<'_>) -> Response {
        let refusal = &declined.refusal;
        record.refusal = Some(refusal.code());
        self.metrics.refusal(refusal.code());
        let (id, code, cause) = (record.id, refusal.code(), refusal.cause());
        if refusal.status().is_server_error() {
            tracing::warn!(request_id = %id.as_str(), code, cause, "declined");
        } else if *refusal == Refusal::SignInRequired {
            tracing::debug!(request_id = %id.as_str(), code, "declined");
        } else {
            tracing::info!(request_id = %id.as_str(), code, cause, "declined");
        }
        let ends_connection = matches!(refusal, Refusal::BadRequest(_) | Refusal::BodyMalformed { .. })
            && record.version != Version::HTTP_2;
        let mut response =
            if record.is_call { grpc::answer(refusal, id.as_str()) } else { self.show(declined, now, record) };
        if ends_connection {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The page of a request that was declined; whoever asks for a host of nobody's gets the first site's.
    fn show(&self, declined: Declined, now: Timestamp, record: &Record<'_>) -> Response {
        let root = Target::root();
        let headers = HeaderMap::new();
        let Some(site) = record.site.or(self.routes.sites().first()) else {
            return crate::http::text(declined.refusal.status(), declined.refusal.words().title);
        };
        let visitor = Visitor {
            site,
            method: &record.method,
            headers: &headers,
            target: record.target.as_ref().unwrap_or(&root),
            session: None,
            request_id: record.id.as_str(),
            now,
        };
        self.login.decline(declined, record.form, &visitor)
    }
}

/// Who asks, of whom `record` knows the rest.
fn visitor<'a>(
    site: &'a Site,
    (method, headers): (&'a Method, &'a HeaderMap),
    session: Option<(SessionKey, Arc<Session>)>,
    record: &'a Record<'_>,
    now: Timestamp,
) -> Result<Visitor<'a>, Refusal> {
    let target = record.target.as_ref().ok_or(Refusal::NoRoute)?;
    Ok(Visitor { site, method, headers, target, session, request_id: record.id.as_str(), now })
}

/// What has to be right about a head before anything is made of it.
fn check_head(request: &Request) -> Result<(), Refusal> {
    // TRACE would show the page's scripts what we add to the request (ASVS 13.4.4).
    if *request.method() == Method::TRACE {
        return Err(Refusal::MethodNotAllowed { allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS" });
    }
    check_framing(request.version(), request.headers()).map_err(|bad| {
        Refusal::BadRequest(match bad {
            BadFraming::TwoLengths => "the length of the body is given twice",
            BadFraming::TransferCoding => "the transfer coding is not chunked",
            BadFraming::RepeatedLength => "the Content-Length is given more than once",
        })
    })?;
    let mut expectations = request.headers().get_all(EXPECT).into_iter();
    if expectations.any(|expectation| !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refusal::ExpectationFailed);
    }
    Ok(())
}

/// What a request asks for, and the tunnel, if it is one.
fn kind_of(
    arrival: &mut Arrival,
    survey: Survey,
    connect: Option<connect::Key>,
    site: &Site,
) -> Result<(Kind, Option<Opening>), Refusal> {
    // In HTTP/1.1 it takes a `Connection` and an `Upgrade`.
    let asks = survey.has(Field::Connection) && survey.has(Field::Hop) || arrival.version() == Version::HTTP_2;
    let offer = match connect {
        Some(key) => Offer::Tunnel(Opening::Connect(key)),
        None if asks => read_offer(arrival.request()),
        None => Offer::None,
    };
    match offer {
        Offer::None => Ok((Kind::Exchange, None)),
        Offer::Refused(why) => Err(Refusal::BadRequest(why)),
        Offer::Tunnel(opening) => {
            let mut origins = arrival.fields().values(&ORIGIN);
            let kind = if origins.all(|origin| origin == site.origin.as_str().as_bytes()) {
                Kind::Tunnel
            } else {
                Kind::ForeignTunnel
            };
            Ok((kind, Some(opening)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each request has allocated and filled: it grew to 27 KB once, and everything got slower by a third.
    #[test]
    fn the_future_of_a_request_stays_small() {
        fn size<F>(_: impl Fn(Arc<Gateway>, Arrival, Peer) -> F) -> usize {
            size_of::<F>()
        }
        let size = size(Gateway::handle);
        assert!(size <= 1650, "{size} bytes");
    }
}
