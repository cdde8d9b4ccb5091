//! A route's app: `upstream` with one address or several, and how they share the requests.
//!
//! `balance`, `slow_start`, `destination_scheme`, `after_body`, `[route.ejection]` and `[route.health]`, and the keys of
//! `[upstream]` that a route has for itself. Called by `config::routes`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;

use super::problem::Wrong;
use super::reader::{Table, Written};
use super::upstream::tls::{self, System};
use super::upstream::{DAY, EXAMPLE, MOMENT, address, overrides};
use super::value::{choice, duration, number};
use crate::http::origin::Origin;
use crate::proxy::absolute::{DestinationScheme, is_stripped};
use crate::proxy::by_connection::AfterBody;
use crate::proxy::group::{Balance, Ejection, Health, MOST, Settings, Verdicts};
use crate::proxy::upstream;
use crate::route::Address;

/// What all routes start from.
pub(super) struct Common<'a> {
    /// `[upstream]`, unless something is wrong with it.
    pub(super) upstream: Option<&'a upstream::Settings>,
    /// The machine's certificate authorities.
    pub(super) system: System,
}

/// Reads what the route called `name` says of its app; `ours` are our own addresses, `origin` is where people find
/// the app.
pub(super) fn read(
    table: &Table<'_>,
    name: &str,
    ours: &[SocketAddr],
    origin: Option<&Origin>,
    common: &Common<'_>,
    notes: &mut Vec<String>,
) -> Option<Settings> {
    let addresses = addresses(table, ours);
    let balances = [
        ("least-connections", Balance::LeastConnections),
        ("round-robin", Balance::RoundRobin),
        ("sticky", Balance::Sticky),
    ];
    let balance = table.get("balance", Some("least-connections"), Written::Text, |text| choice(text, &balances));
    let slow_start = table.get("slow_start", Some("10s"), Written::Text, |text| duration(text, Duration::ZERO, DAY));
    let schemes = [("public", DestinationScheme::Public), ("app", DestinationScheme::App)];
    let destination_scheme =
        table.get("destination_scheme", Some("public"), Written::Text, |text| choice(text, &schemes));
    let kinds = [("close", AfterBody::Close), ("keep", AfterBody::Keep)];
    let after_body = table.get("after_body", Some("close"), Written::Text, |text| choice(text, &kinds));
    let ejection = ejection(table);
    let health = health(table, origin);
    let upstream = overrides(table, name, common.upstream);
    let connector = tls::read(table, name, addresses.as_deref().unwrap_or_default(), &common.system, notes);
    let addresses = addresses?;
    let same = |address: &Address| origin.is_some_and(|origin| !is_stripped(origin.scheme(), address));
    if destination_scheme == Some(DestinationScheme::App) && addresses.iter().any(same) {
        notes.push(format!("{name} is reached by the scheme that people see: nothing comes of destination_scheme"));
    }
    let idle = ["balance", "slow_start", "ejection"].map(|key| table.has(key).then_some(key));
    let idle: Vec<&str> = idle.into_iter().flatten().collect();
    if let ([only], false) = (&*addresses, idle.is_empty()) {
        notes.push(format!("{only} is its route's only address: nothing comes of {}", idle.join(" and ")));
    }
    Some(Settings {
        addresses,
        balance: balance?,
        slow_start: slow_start?,
        destination_scheme: destination_scheme?,
        after_body: after_body?,
        ejection: ejection?,
        health: health?,
        upstream: upstream?,
        connector: connector?,
    })
}

fn addresses(table: &Table<'_>, ours: &[SocketAddr]) -> Option<Vec<Address>> {
    table.require("upstream", EXAMPLE);
    let mut taken: Vec<Address> = Vec::new();
    let addresses = table.one_or_more("upstream", |text| {
        let address = address(text, ours)?;
        if taken.contains(&address) {
            return Err(Wrong::new(format!("{address} is listed twice"), "write each address once"));
        }
        taken.push(address.clone());
        Ok(address)
    })?;
    if addresses.is_empty() {
        if table.has("upstream") {
            table.complain("upstream", "is empty", EXAMPLE);
        }
        return None;
    }
    if addresses.len() > MOST {
        table.complain(
            "upstream",
            format!("has {} addresses", addresses.len()),
            format!("write at most {MOST}, or put a balancer of their own in front of them"),
        );
        return None;
    }
    Some(addresses)
}

/// `[route.ejection]`.
fn ejection(route: &Table<'_>) -> Option<Ejection> {
    let table = route.table("ejection");
    let failures = count(&table, "failures", "3");
    let pause = table.get("pause", Some("5s"), Written::Text, |text| duration(text, MOMENT, DAY));
    let longest = table.get("longest_pause", Some("1m"), Written::Text, |text| duration(text, MOMENT, DAY));
    table.finish();
    let (pause, mut longest_pause) = (pause?, longest?);
    if longest_pause < pause {
        if table.has("longest_pause") {
            let instead = format!("write at least \"{}\"", humantime::format_duration(pause));
            table.complain("longest_pause", "is shorter than pause", instead);
        }
        longest_pause = pause;
    }
    Some(Ejection { failures: failures?, pause, longest_pause })
}

/// `[route.health]`; there are no checks without it.
fn health(route: &Table<'_>, origin: Option<&Origin>) -> Option<Option<Health>> {
    let table = route.table("health");
    if table.is_present() {
        table.require("path", "write what the app answers without a sign-in: path = \"/healthz\"");
    }
    let path = table.get("path", None, Written::Text, path);
    let interval = table.get("interval", Some("5s"), Written::Text, |text| duration(text, MOMENT, DAY));
    let timeout = table.get("timeout", Some("2s"), Written::Text, |text| duration(text, MOMENT, DAY));
    let status = table.get("status", Some("200-299"), Written::Text, statuses);
    let healthy = count(&table, "healthy", "2");
    let unhealthy = count(&table, "unhealthy", "3");
    table.finish();
    if !route.has("health") {
        return Some(None);
    }
    let origin = origin?;
    Some(Some(Health {
        path: path?,
        host: HeaderValue::from_str(origin.authority()).ok()?,
        scheme: origin.scheme(),
        interval: interval?,
        timeout: timeout?,
        status: status?,
        verdicts: Verdicts { healthy: healthy?, unhealthy: unhealthy? },
    }))
}

fn count(table: &Table<'_>, key: &str, default: &str) -> Option<u32> {
    let count = table.get(key, Some(default), Written::Number, |text| number(text, 1, 1000));
    count.and_then(|count| u32::try_from(count).ok())
}

fn path(text: &str) -> Result<PathAndQuery, Wrong> {
    let instead = "write a path of the app, with a query if need be: \"/healthz\"";
    if !text.starts_with('/') || text.contains('#') {
        return Err(Wrong::new(format!("{text:?} is not a path"), instead));
    }
    text.parse().map_err(|_| Wrong::new(format!("{text:?} is not a path"), instead))
}

/// `"200-299"`, or one status alone.
fn statuses(text: &str) -> Result<RangeInclusive<u16>, Wrong> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (200..=599).contains(status));
    match (status(first), status(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(Wrong::new(
            format!("{text:?} is not a status or a span of them"),
            "write for example \"200\" or \"200-299\"",
        )),
    }
}
