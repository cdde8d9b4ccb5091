//! Which upstream and which rules a canonical request falls to.
//!
//! Hosts are a closed list and prefixes match whole segments, so that `/admin` never covers `/administrator`
//! and a host that we do not serve gets a 421 instead of somebody's app. A target with a second reading has
//! to fall to the same route by both (CVE-2023-33189: authorized as one route, forwarded as another).
//! Called by `gateway`.

mod address;

use std::collections::HashMap;

use hyper::header::HeaderValue;

use crate::http::origin::Origin;
use crate::http::target::{BadTarget, Target};

pub use address::{Address, Place, Transport};

/// One `[[route]]` table.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For logs and metrics. Default: host and path.
    pub name: String,
    /// The public authority that it serves, lower case; `None` is `public_url`'s.
    pub host: Option<String>,
    /// A prefix of whole segments: `/`, `/grafana`. No trailing slash but for the root.
    pub path: String,
    /// Who may pass.
    pub access: Access,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody: health paths, assets.
    Public,
    /// Whoever is signed in.
    SignedIn,
}

/// A route as requests find it.
#[derive(Debug)]
pub struct Route {
    /// For logs and metrics.
    pub name: String,
    /// Who may pass.
    pub access: Access,
    /// Its place in the list of routes, which is also its app's place in the list of apps.
    pub index: usize,
    prefix: String,
}

/// As an app that does not mind case compares paths: by Unicode's rules, where `\u{212A}` is a `k` and `\u{17F}`
/// an `s`.
fn fold_case(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    // Lower case makes two characters of the capital I with a dot, and many compare one by one.
    path.replace('\u{130}', "i").to_uppercase().to_lowercase()
}

/// Whether one path is below another, by whole segments.
pub fn is_below(inner: &str, outer: &str) -> bool {
    let rest = inner.strip_prefix(outer.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

/// The paths that lenient apps may read.
fn readings(target: &Target) -> impl Iterator<Item = &str> {
    let usual = target.second_reading().unwrap_or(target.path());
    std::iter::once(usual).chain(target.odd_readings())
}

/// One public origin and what it serves.
#[derive(Debug)]
pub struct Site {
    /// As people type it.
    pub origin: Origin,
    /// Its place in the configuration: a session is valid at the origin that it began at alone.
    pub index: usize,
    /// What apps receive as `Host`, however it was written: apps compare hosts in their own ways, so one
    /// spelling is judged and forwarded. `None` when it cannot be a header, which no origin's authority is.
    pub host: Option<HeaderValue>,
    routes: Vec<Route>,
    prefixes: Prefixes,
    /// Those of the closed routes, whatever the case of their letters.
    closed: Prefixes,
}

/// Routes by their prefixes: a thousand are not gone through for each request.
#[derive(Debug)]
struct Prefixes {
    /// The place of each.
    places: HashMap<String, usize>,
    /// How long prefixes are, each length once, the longest first; but for the root's.
    lengths: Vec<usize>,
    /// The root's place: it covers everything, and often there is nothing else.
    root: Option<usize>,
}

impl Prefixes {
    /// Of these routes, each with its place. Of two that are alike the last counts.
    fn new(routes: impl Iterator<Item = (String, usize)>) -> Self {
        let places: HashMap<String, usize> = routes.collect();
        let root = places.get("/").copied();
        let mut lengths: Vec<usize> = places.keys().map(String::len).filter(|length| *length > 1).collect();
        lengths.sort_unstable_by(|one, other| other.cmp(one));
        lengths.dedup();
        Self { places, lengths, root }
    }

    /// Those that cover `path` by whole segments, the longest first.
    fn covering<'a>(&'a self, path: &'a str) -> impl Iterator<Item = usize> + 'a {
        let found = |&length: &usize| match path.split_at_checked(length) {
            Some((prefix, rest)) if rest.is_empty() || rest.starts_with('/') => self.places.get(prefix),
            _ => None,
        };
        self.lengths.iter().filter_map(found).copied().chain(self.root)
    }
}

impl Site {
    fn new(origin: &Origin, index: usize, mut routes: Vec<Route>) -> Self {
        routes.sort_by_key(|route| route.prefix.len());
        let prefixes = Prefixes::new(routes.iter().enumerate().map(|(place, route)| (route.prefix.clone(), place)));
        let closed = routes.iter().enumerate().filter(|(_, route)| route.access == Access::SignedIn);
        let closed = Prefixes::new(closed.map(|(place, route)| (fold_case(&route.prefix), place)));
        let host = HeaderValue::from_str(origin.authority()).ok();
        Self { origin: origin.clone(), index, host, routes, prefixes, closed }
    }

    /// Whether a closed route within the public one covers `path`, whatever the case of its letters.
    fn leads_into_closed(&self, public: &Route, path: &str) -> bool {
        let folded = fold_case(path);
        let mut closed = self.closed.covering(&folded).filter_map(|place| self.routes.get(place));
        closed.any(|other| other.prefix.len() > public.prefix.len())
    }

    /// Whether a closed route begins below `target`: what is done to a whole tree is done to it as well.
    pub fn has_closed_below(&self, target: &Target) -> bool {
        readings(target).any(|reading| {
            let folded = fold_case(reading);
            self.closed.places.keys().any(|prefix| is_below(prefix, &folded))
        })
    }

    fn route(&self, path: &str) -> Option<&Route> {
        self.prefixes.covering(path).next().and_then(|place| self.routes.get(place))
    }
}

/// Where a target leads on a site.
#[derive(Debug)]
pub enum Found<'r, 't> {
    /// To one of our own endpoints: the path after our prefix, `/start` and so on.
    Ours(&'t str),
    /// To an app.
    App(&'r Route),
    /// Nowhere.
    Nothing,
}

/// All routes, by host.
#[derive(Debug)]
pub struct Routes {
    sites: Vec<Site>,
    /// Where each is, by its authority as browsers write it.
    by_authority: HashMap<String, usize>,
    prefix: String,
}

impl Routes {
    /// Arranges the configured routes. `origins` begins with `public_url`'s; a route's host is one of them.
    pub fn new(origins: &[Origin], prefix: &str, settings: &[Settings]) -> Self {
        let site = |(index, origin): (usize, &Origin)| {
            let routes: Vec<Route> = settings
                .iter()
                .enumerate()
                .filter(|(_, route)| match &route.host {
                    Some(host) => host == origin.authority(),
                    None => index == 0,
                })
                .map(|(index, route)| Route {
                    name: route.name.clone(),
                    access: route.access,
                    index,
                    prefix: route.path.clone(),
                })
                .collect();
            Site::new(origin, index, routes)
        };
        let sites: Vec<Site> = origins.iter().enumerate().map(site).collect();
        let authority = |(place, site): (usize, &Site)| (site.origin.authority().to_owned(), place);
        // Of two that are alike the first counts.
        let by_authority = sites.iter().enumerate().rev().map(authority).collect();
        Self { sites, by_authority, prefix: prefix.to_owned() }
    }

    /// The site that `authority` names: case, a trailing dot and the scheme's default port do not matter.
    /// `None` for a host that we do not serve (421, RFC 9110 section 15.5.20).
    pub fn site(&self, authority: &str) -> Option<&Site> {
        // As browsers write it, nearly always; and most gateways have one.
        let first = self.sites.first().filter(|site| site.origin.authority() == authority);
        let same = first.or_else(|| self.by_authority.get(authority).and_then(|place| self.sites.get(*place)));
        let like = || self.sites.iter().find(|site| site.origin.authority().eq_ignore_ascii_case(authority));
        same.or_else(like).or_else(|| {
            let (host, port) = match authority.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
                _ => (authority, None),
            };
            let host = host.strip_suffix('.').unwrap_or(host);
            self.sites.iter().find(|site| {
                let default = match site.origin.scheme() {
                    crate::http::Scheme::Http => "80",
                    crate::http::Scheme::Https => "443",
                };
                let (site_host, site_port) = match site.origin.authority().rsplit_once(':') {
                    Some((host, port)) if !port.ends_with(']') => (host, port),
                    _ => (site.origin.authority(), default),
                };
                site_host.eq_ignore_ascii_case(host) && site_port == port.unwrap_or(default)
            })
        })
    }

    /// All sites, the one of `public_url` first.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// Where `target` leads on `site`.
    ///
    /// # Errors
    /// [`BadTarget::Ambiguous`] when its readings lead to different places, or when only the case of its
    /// letters keeps it from a closed route while the route it falls to is public.
    pub fn find<'r, 't>(&self, site: &'r Site, target: &'t Target) -> Result<Found<'r, 't>, BadTarget> {
        let found = self.look_up(site, target.path());
        if let Some(reading) = target.second_reading()
            && !found.is_same(&self.look_up(site, reading))
        {
            return Err(BadTarget::Ambiguous);
        }
        let is_ours = |reading: &str| matches!(self.look_up(site, reading), Found::Ours(_));
        if !matches!(found, Found::Ours(_)) && target.odd_readings().any(is_ours) {
            return Err(BadTarget::Ambiguous);
        }
        if let Found::App(route) = &found
            && route.access == Access::Public
        {
            let mut readings = readings(target);
            if readings.any(|reading| site.leads_into_closed(route, reading)) {
                return Err(BadTarget::Ambiguous);
            }
        }
        Ok(found)
    }

    fn look_up<'r, 't>(&self, site: &'r Site, path: &'t str) -> Found<'r, 't> {
        if let Some(rest) = path.strip_prefix(self.prefix.as_str())
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return Found::Ours(rest);
        }
        site.route(path).map_or(Found::Nothing, Found::App)
    }
}

impl Found<'_, '_> {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::App(left), Self::App(right)) => left.index == right.index,
            (Self::Nothing, Self::Nothing) => true,
            (Self::Ours(left), Self::Ours(right)) => left == right,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
