//! The listener that sends people from http to https: `[redirect]`.
//!
//! It leads to the configured host that was asked for and nowhere else, so that no `Host` makes it an open redirect,
//! and it carries the target in the one form that the front door would judge. What was sent in plain text cannot be
//! taken back, so a body is refused rather than asked for again, and nothing but GET and HEAD is led anywhere. An
//! authority that asks for the proof that a host is ours is told it here, where that was chosen (RFC 8555 section 8.3).
//! Called by `gateway::house` for every request of that listener.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http_body::Body as _;
use hyper::header::{ALLOW, CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, LOCATION, TRANSFER_ENCODING};
use hyper::{Method, StatusCode};

use super::{bad_target, check_head};
use crate::http::Arrival;
use crate::http::target::{Target, authority};
use crate::http::{Neighbours, Peer, Request, Response, answer, text};
use crate::proxy::headers::client_address;
use crate::refusal::Refusal;
use crate::route::{Routes, Site};
use crate::server::tls::acme::Challenges;
use crate::server::{self, Door};
use crate::telemetry::{AccessLine, AccessWriter, Decision, Metrics, RequestIds, RouteMetrics};

/// What it is called where routes are.
pub(super) const NAME: &str = "redirect";

/// The whole of it.
pub(super) struct Redirect {
    pub(super) routes: Arc<Routes>,
    pub(super) trusted: Neighbours,
    pub(super) metrics: Arc<Metrics>,
    pub(super) counter: RouteMetrics,
    pub(super) access: AccessWriter,
    pub(super) ids: RequestIds,
    /// What authorities are told, where certificates are ordered.
    pub(super) challenges: Option<Arc<Challenges>>,
}

/// What becomes of a request.
enum Led {
    /// It is to be asked again there.
    To(HeaderValue),
    /// It was an authority's, and this is what it is told.
    Proof(String),
}

impl Redirect {
    /// Serves until the drain is over.
    pub(super) async fn serve(self, door: Door) {
        let redirect = Arc::new(self);
        server::serve(door, move |arrival: Arrival, peer| {
            std::future::ready(redirect.handle(&arrival.into_request(), &peer))
        })
        .await;
    }

    /// Answers one request.
    fn handle(&self, request: &Request, peer: &Peer) -> Response {
        let began = Instant::now();
        let led = self.lead(request);
        let (decision, refusal) = match &led {
            Ok(Led::To(_)) => (Decision::Redirect, None),
            Ok(Led::Proof(_)) => (Decision::Own, None),
            Err(refusal) => (Decision::Refuse, Some(refusal.code())),
        };
        let mut response = led.map_or_else(|refusal| self.decline(&refusal), |led| self.answer(led));
        // The next question goes to another port.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let duration = began.elapsed();
        self.counter.count(decision, response.status(), duration);
        self.access.write(&AccessLine {
            time: SystemTime::now(),
            request_id: self.ids.next(),
            client: client_address(request.headers().into(), peer.remote, &self.trusted),
            method: request.method(),
            host: request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default(),
            path: request.uri().path(),
            status: response.status(),
            route: Some(NAME),
            user: None,
            decision,
            refusal,
            duration,
            address: None,
            bytes: response.body().size_hint().exact(),
        });
        response
    }

    /// Where to.
    fn lead(&self, request: &Request) -> Result<Led, Refusal> {
        check_head(request)?;
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Refusal::MethodNotAllowed { allow: "GET, HEAD" });
        }
        let headers = request.headers();
        let empty = headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
        if !empty || headers.contains_key(TRANSFER_ENCODING) {
            return Err(Refusal::BodyTooLarge);
        }
        let host = authority(request.version(), request.uri(), headers.into()).map_err(bad_target)?;
        let site = self.site(host).ok_or(Refusal::WrongHost)?;
        let asks = *request.method() == Method::GET && request.uri().query().is_none();
        let proof = |challenges: &Arc<Challenges>| challenges.told(name_of(host), request.uri().path());
        if let Some(proof) = self.challenges.as_ref().filter(|_| asks).and_then(proof) {
            return Ok(Led::Proof(proof));
        }
        let target = Target::parse(request.method(), request.uri()).map_err(bad_target)?;
        HeaderValue::try_from(format!("{}{}", site.origin, target.path_and_query()))
            .map(Led::To)
            .map_err(|_| Refusal::BadTarget("the path has a forbidden character"))
    }

    fn answer(&self, led: Led) -> Response {
        match led {
            Led::To(location) => moved(location),
            Led::Proof(proof) => {
                self.metrics.server_event("proof_shown");
                tracing::info!("an authority was told the proof that a host is ours");
                answer(StatusCode::OK, "application/octet-stream", proof)
            }
        }
    }

    /// The site of that name, whatever the port: the one here is not the one there.
    fn site(&self, authority: &str) -> Option<&Site> {
        let name = name_of(authority);
        self.routes.sites().iter().find(|site| name_of(site.origin.authority()).eq_ignore_ascii_case(name))
    }

    fn decline(&self, refusal: &Refusal) -> Response {
        self.metrics.refusal(refusal.code());
        tracing::info!(code = refusal.code(), cause = refusal.cause(), "declined at the redirect listener");
        let words = refusal.words();
        let mut response = text(refusal.status(), format!("{}\n\n{}\n", words.title, words.happened));
        if let Refusal::MethodNotAllowed { allow } = refusal {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

fn moved(location: HeaderValue) -> Response {
    // 308, so that no client is invited to change the method.
    let mut response = text(StatusCode::PERMANENT_REDIRECT, "this site is at https\n");
    response.headers_mut().insert(LOCATION, location);
    response
}

/// An authority without port and trailing dot.
fn name_of(authority: &str) -> &str {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => name,
        _ => authority,
    };
    name.strip_suffix('.').unwrap_or(name)
}
