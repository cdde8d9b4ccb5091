//! What a request acts on beside its own target: where WebDAV's COPY and MOVE lead (RFC 4918 section 10.3), and whole
//! trees.
//!
//! Rules are about paths, and such a request acts on others too: an app that was asked for something public would write
//! to something closed, or copy it, or delete it with all that is around it. So a `Destination` is held to the rules of
//! targets and to what the visitor may use, and who is not signed in acts on no tree with something closed in it. Whoever
//! is not signed in is held to the former whatever the method, since apps have ways to be told of another one. Called by
//! `gateway`, after a route was found and before anything is decided.

use hyper::header::CONNECTION;
use hyper::http::uri::Authority;
use hyper::{Method, Uri};

use super::Gateway;
use super::faults::bad_target;
use crate::http::Arrival;
use crate::http::target::Target;
use crate::proxy::absolute::{DEPTH, DESTINATION, is_override};
use crate::refusal::Refusal;
use crate::route::{Access, Found, Route, Site};

/// Methods of a target and all that is below it, or of what else they name (RFC 3253, RFC 3744, RFC 5323, RFC 5842).
/// The last are Exchange's, for many at a time.
const WHOLE: [&str; 18] = [
    "COPY",
    "MOVE",
    "DELETE",
    "LOCK",
    "BIND",
    "REBIND",
    "UNBIND",
    "ACL",
    "MERGE",
    "SEARCH",
    "REPORT",
    "LABEL",
    "UPDATE",
    "BCOPY",
    "BMOVE",
    "BDELETE",
    "BPROPFIND",
    "BPROPPATCH",
];

/// Whether a request for `route` may act on what it acts on.
pub(super) fn judge(
    gateway: &Gateway,
    arrival: &Arrival,
    site: &Site,
    (route, source): (&Route, &Target),
    is_signed_in: bool,
) -> Result<(), Refusal> {
    // Nobody passes a closed route without a session.
    let matters = if is_signed_in {
        is_one_of(&["COPY", "MOVE"], arrival.method().as_str().as_bytes())
    } else {
        route.access == Access::Public
    };
    if !matters {
        return Ok(());
    }
    let name = DESTINATION;
    let mut values = arrival.fields().values(&name);
    let first = values.next();
    if !is_signed_in && (first.is_some() || is_of_a_tree(arrival)) && site.has_closed_below(source) {
        return Err(Refusal::SignInRequired);
    }
    let Some(value) = first else { return Ok(()) };
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

/// Whether a request is about its target and all that is below it, by its method or by what an app may take for it.
fn is_of_a_tree(arrival: &Arrival) -> bool {
    let fields = arrival.fields();
    let name = DEPTH;
    let mut depths = fields.values(&name);
    // With 1 it tells of everything directly below. What `Connection` names does not reach the app, to which no depth is
    // as far as there is anything (RFC 4918 section 9.1).
    let is_shallow = matches!((depths.next(), depths.next()), (Some(b"0"), None))
        && !fields.values(&CONNECTION).any(|options| names_field(options, name.as_str()));
    let is_one = |method: &[u8]| is_one_of(&WHOLE, method) || (is_one_of(&["PROPFIND"], method) && !is_shallow);
    is_one(arrival.method().as_str().as_bytes())
        || fields.into_iter().any(|field| is_override(field.name()) && is_one(field.value()))
}

/// Whether a list of connection options has that name among them.
fn names_field(options: &[u8], name: &str) -> bool {
    options.split(|byte| *byte == b',').any(|option| option.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
}

fn is_one_of(methods: &[&str], method: &[u8]) -> bool {
    methods.iter().any(|ours| method.trim_ascii().eq_ignore_ascii_case(ours.as_bytes()))
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
