//! Where WebDAV's COPY and MOVE lead (RFC 4918 section 10.3): a second target, in a field.
//!
//! Rules are about paths, and such a request acts on two: an app that was asked for something public would write to
//! something closed. So its `Destination` is held to the rules of targets, and to what the visitor may use. Whoever is
//! not signed in is held to that whatever the method, since apps have ways to be told of another one. Called by
//! `gateway`, after a route was found and before anything is decided.

use hyper::http::uri::Authority;
use hyper::{Method, Uri};

use super::Gateway;
use super::faults::bad_target;
use crate::http::Arrival;
use crate::http::target::Target;
use crate::proxy::absolute::DESTINATION;
use crate::refusal::Refusal;
use crate::route::{Access, Found, Route, Site};

/// Whether a request for `route` may name the destinations that it names.
pub(super) fn judge(
    gateway: &Gateway,
    arrival: &Arrival,
    site: &Site,
    (route, source): (&Route, &Target),
    is_signed_in: bool,
) -> Result<(), Refusal> {
    let method = arrival.method().as_str();
    let leads = ["COPY", "MOVE"].iter().any(|ours| method.eq_ignore_ascii_case(ours));
    // Nobody passes a closed route without a session.
    let matters = if is_signed_in { leads } else { route.access == Access::Public };
    if !matters {
        return Ok(());
    }
    // COPY, MOVE and what they overwrite are whole trees.
    if !is_signed_in && site.has_closed_below(source) {
        return Err(Refusal::SignInRequired);
    }
    let name = DESTINATION;
    let mut values = arrival.fields().values(&name);
    let Some(value) = values.next() else { return Ok(()) };
    // Some apps join what is repeated, and some take the first or the last.
    if values.next().is_some() {
        return Err(Refusal::BadTarget("the Destination is given more than once"));
    }
    let target = read(gateway, site, value)?;
    let Found::App(other) = gateway.routes.find(site, &target).map_err(bad_target)? else {
        return Err(Refusal::BadTarget("the Destination leads to no app"));
    };
    if !gateway.proxy.share_app(route.index, other.index) {
        return Err(Refusal::BadTarget("the Destination leads to another app"));
    }
    if !is_signed_in && (other.access == Access::SignedIn || site.has_closed_below(&target)) {
        return Err(Refusal::SignInRequired);
    }
    Ok(())
}

/// The path of an address: apps may look at nothing else of it, whichever host it names. One of ours has to be this
/// site's. What no reader has to expect there is refused, since each reads it differently: a query, a fragment (RFC 4918
/// section 8.3), a user and escapes in the host (RFC 9110 section 4.2.4).
fn read(gateway: &Gateway, site: &Site, value: &[u8]) -> Result<Target, Refusal> {
    let is_path = value.starts_with(b"/") && !value.starts_with(b"//");
    let is_whole = !value.iter().any(|byte| matches!(byte, b'?' | b'#'));
    let address = Uri::try_from(value).ok().filter(|uri| is_whole && (is_path || uri.scheme().is_some()));
    let address = address.ok_or(Refusal::BadTarget("the Destination is no address"))?;
    if let Some(authority) = address.authority().map(Authority::as_str) {
        if authority.contains(['@', '%']) {
            return Err(Refusal::BadTarget("the Destination is no address"));
        }
        if gateway.routes.site(authority).is_some_and(|named| named.index != site.index) {
            return Err(Refusal::BadTarget("the Destination leads to another host"));
        }
    }
    Target::parse(&Method::GET, &address).map_err(bad_target)
}
