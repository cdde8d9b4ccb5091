//! `[[route]]` and `[session]`: what is protected, and how long a sign-in lasts.
//!
//! Hosts are a closed list and two routes never claim the same place, so that a request has one reading.
//! Called by `config::file`.

use std::time::Duration;

use url::Url;

use super::apps::{self, Common};
use super::front::Front;
use super::problem::Wrong;
use super::reader::{Table, Written};
use super::upstream::tls::System;
use super::value::{duration, number, truth, words};
use crate::http::origin::Origin;
use crate::proxy::group;
use crate::proxy::upstream::Settings as Deadlines;
use crate::route::{Access, Settings, is_below};
use crate::session;

const DAY: Duration = Duration::from_secs(86_400);

/// The routes, and the origins that they make beside `public_url`.
pub(super) struct Routes {
    pub(super) routes: Vec<Settings>,
    /// The app of each.
    pub(super) apps: Vec<group::Settings>,
    pub(super) origins: Vec<Origin>,
}

/// Reads `[[route]]`; `upstream` is what `[upstream]` says for all of them.
pub(super) fn read(
    root: &Table<'_>,
    front: &Front,
    upstream: Option<&Deadlines>,
    notes: &mut Vec<String>,
) -> Option<Routes> {
    let tables = root.tables("route");
    if tables.is_empty() && !root.has("route") {
        root.complain(
            "route",
            "is missing: there is nothing to protect",
            "write [[route]] with upstream = \"http://127.0.0.1:3000\" below",
        );
    }
    let mut routes: Vec<Settings> = Vec::new();
    let mut apps = Vec::new();
    let mut origins: Vec<Origin> = front.public.iter().cloned().collect();
    let mut taken: Vec<(Option<String>, String, &Table<'_>)> = Vec::new();
    let common = Common { upstream, system: System::default() };
    let mut sound = true;
    for table in &tables {
        let (place, app) = one(table, front, &common, &mut origins, notes);
        let (Some(route), Some(app)) = (place, app) else {
            sound = false;
            continue;
        };
        if let Some((.., first)) = taken.iter().find(|(host, path, _)| *host == route.host && *path == route.path) {
            let what = format!("is the same place as the route at {}", first.place("upstream"));
            table.complain("path", what, "give one of them another host or path");
        }
        if routes.iter().any(|other| other.name == route.name) && table.has("name") {
            table.complain("name", format!("{:?} is another route's name too", route.name), "give each route its own");
        }
        taken.push((route.host.clone(), route.path.clone(), table));
        routes.push(route);
        apps.push(app);
    }
    if !routes.is_empty() && routes.iter().all(|route| route.access == Access::Public) {
        notes.push("every route is public: nobody is ever asked to sign in".to_owned());
    }
    notes.extend(routes.iter().zip(&apps).filter_map(|closed| opened_from_above(closed, routes.iter().zip(&apps))));
    (sound && !routes.is_empty()).then_some(Routes { routes, apps, origins })
}

/// What to say of a closed route that lies within a public one to the same app: which of its names lead to the closed
/// place, the app alone knows.
fn opened_from_above<'a>(
    (closed, app): (&Settings, &group::Settings),
    all: impl Iterator<Item = (&'a Settings, &'a group::Settings)>,
) -> Option<String> {
    let around = all.filter(|(other, _)| other.host == closed.host && is_below(&closed.path, &other.path));
    let (outer, its_app) = around.max_by_key(|(other, _)| other.path.len())?;
    let shares = its_app.addresses.iter().any(|address| app.addresses.contains(address));
    if closed.access == Access::Public || outer.access != Access::Public || !shares {
        return None;
    }
    Some(format!(
        "{} is closed within {}, which is public and the same app's: the app may know that place by other names as well \
         (/index.php{}, for one); it is safer to close the outer one and to open what is below it",
        closed.name, outer.name, closed.path
    ))
}

/// A route and its app; both are read to the end, so that all that is wrong is said at once.
fn one(
    table: &Table<'_>,
    front: &Front,
    common: &Common<'_>,
    origins: &mut Vec<Origin>,
    notes: &mut Vec<String>,
) -> (Option<Settings>, Option<group::Settings>) {
    let host = table.get("host", None, Written::Text, |text| host(text, front.public.as_ref()));
    let path = table.get("path", Some("/"), Written::Text, |text| path(text, front.prefix.as_deref()));
    let public = table.get("public", Some("false"), Written::Truth, truth);
    let name = table.get("name", None, Written::Text, words);
    let origin = host.as_ref().or(front.public.as_ref());
    let place = origin.zip(path.as_ref()).map(|(origin, path)| format!("{}{path}", origin.authority()));
    let called = name.clone().or(place).unwrap_or_default();
    let app = apps::read(table, &called, &front.addresses(), origin, common, notes);
    table.finish();
    if (table.has("host") && host.is_none()) || (table.has("name") && name.is_none()) {
        return (None, app);
    }
    let (Some(path), Some(public), Some(public_origin)) = (path, public, front.public.as_ref()) else {
        return (None, app);
    };
    let origin = host.unwrap_or_else(|| public_origin.clone());
    if !origins.contains(&origin) {
        origins.push(origin.clone());
    }
    let host = (origin != *public_origin).then(|| origin.authority().to_owned());
    let access = if public { Access::Public } else { Access::SignedIn };
    (Some(Settings { name: called, host, path, access }), app)
}

/// A public host, with the scheme of `public_url` and, unless it names one, its port.
fn host(text: &str, public: Option<&Origin>) -> Result<Origin, Wrong> {
    let example = "write only the host: \"grafana.example.com\"";
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        return Err(Wrong::new("contains a scheme", format!("write only the host: {host:?}")));
    }
    if text.contains('*') {
        return Err(Wrong::new(format!("{text:?} is a pattern"), "write a [[route]] for each host"));
    }
    if text.contains(['/', '?', '#', '@']) {
        return Err(Wrong::new("is more than a host", "write the host alone, and the path as path"));
    }
    let scheme = public.map_or("https", |public| public.scheme().as_str());
    let parsed = Origin::parse(&format!("{scheme}://{text}"))
        .map_err(|_| Wrong::new(format!("{text:?} is not a host"), example))?;
    let named = Url::parse(&format!("x://{text}")).ok().and_then(|url| url.port()).is_some();
    let inherited = public.and_then(|public| Url::parse(public.as_str()).ok()).and_then(|url| url.port());
    match inherited {
        Some(port) if !named => {
            Origin::parse(&format!("{parsed}:{port}")).map_err(|error| Wrong::new(error.to_string(), example))
        }
        _ => Ok(parsed),
    }
}

fn path(text: &str, prefix: Option<&str>) -> Result<String, Wrong> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err(Wrong::new(format!("{text:?} does not begin with a slash"), format!("write \"/{text}\"")));
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()+,=:@".contains(&byte);
    let whole = rest.trim_end_matches('/');
    let good = |segment: &str| !segment.is_empty() && !matches!(segment, "." | "..") && segment.bytes().all(plain);
    if !whole.is_empty() && !whole.split('/').all(good) {
        return Err(Wrong::new(
            format!("{text:?} is not a plain path"),
            "write whole segments without patterns, escapes, dots alone or doubled slashes: \"/grafana\"",
        ));
    }
    if whole.len() < rest.len() {
        return Err(Wrong::new(
            format!("{text:?} ends with a slash"),
            format!("write \"/{whole}\": a path covers what is below it"),
        ));
    }
    if let Some(prefix) = prefix
        && text.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    {
        let instead = "write another path, or move our own addresses with prefix";
        return Err(Wrong::new(
            format!("{text:?} lies within {prefix}, where the gateway's own addresses are"),
            instead,
        ));
    }
    Ok(text.to_owned())
}

/// `[session]`.
pub(super) fn session(root: &Table<'_>) -> Option<session::Settings> {
    let table = root.table("session");
    // Moments are kept in whole seconds.
    let second = Duration::from_secs(1);
    let span = |key, default, most| table.get(key, Some(default), Written::Text, |text| duration(text, second, most));
    let lifetime = span("lifetime", "8h", 30 * DAY);
    let idle = span("idle", "1h", 30 * DAY);
    let capacity = table.get("capacity", Some("100000"), Written::Number, |text| number(text, 1, 100_000_000));
    let login_timeout = span("login_timeout", "10m", DAY / 24);
    table.finish();
    let (lifetime, mut idle) = (lifetime?, idle?);
    if idle > lifetime {
        if table.has("idle") {
            let what = "is longer than lifetime, so it would never end a session";
            table.complain(
                "idle",
                what,
                format!("write at most \"{}\", or a longer lifetime", humantime::format_duration(lifetime)),
            );
        }
        idle = lifetime;
    }
    Some(session::Settings { lifetime, idle, capacity: capacity?, login_timeout: login_timeout? })
}
