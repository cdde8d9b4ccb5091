//! Where WebDAV's COPY and MOVE lead (RFC 4918 section 10.3): a second target, in a field.
//!
//! Rules are about paths, and such a request acts on two: an app that was asked for something public would write to
//! something closed. So its `Destination` is held to the rules of targets, and to what the visitor may use. Whoever is
//! not signed in is held to that whatever the method, since apps have ways to be told of another one. Called by
//! `gateway`, after a route was found and before anything is decided.

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
    route: &Route,
    is_signed_in: bool,
) -> Result<(), Refusal> {
    let method = arrival.method().as_str();
    let leads = ["COPY", "MOVE"].iter().any(|ours| method.eq_ignore_ascii_case(ours));
    // Nobody passes a closed route without a session.
    let matters = if is_signed_in { leads } else { route.access == Access::Public };
    if !matters {
        return Ok(());
    }
    for value in arrival.fields().values(&DESTINATION) {
        let target = read(value)?;
        let Found::App(other) = gateway.routes.find(site, &target).map_err(bad_target)? else {
            return Err(Refusal::BadTarget("the Destination leads to no app"));
        };
        if !gateway.proxy.share_app(route.index, other.index) {
            return Err(Refusal::BadTarget("the Destination leads to another app"));
        }
        if other.access == Access::SignedIn && !is_signed_in {
            return Err(Refusal::SignInRequired);
        }
    }
    Ok(())
}

/// The path of an address: apps may look at nothing else of it, whichever host it names.
fn read(value: &[u8]) -> Result<Target, Refusal> {
    let is_path = value.starts_with(b"/") && !value.starts_with(b"//");
    let address = Uri::try_from(value).ok().filter(|uri| is_path || uri.scheme().is_some());
    let address = address.ok_or(Refusal::BadTarget("the Destination is no address"))?;
    Target::parse(&Method::GET, &address).map_err(bad_target)
}
