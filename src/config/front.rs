//! The top-level keys and `[limits]`, `[log]`: how the gateway is reached.
//!
//! `public_url` is what people type; everything printed begins with it, so it is required and never guessed
//! from headers. Called by `config::file`.

use std::net::SocketAddr;
use std::num::NonZero;
use std::time::Duration;

use super::listen;
use super::problem::Wrong;
use super::reader::{Table, Written};
use super::value::{choice, duration, number, size, truth};
use crate::http::origin::Origin;
use crate::http::{Neighbours, Scheme};
use crate::server::{self, Limits, Place, Places, tls};
use crate::session::cookie;
use crate::telemetry;

const DAY: Duration = Duration::from_secs(86_400);
/// The shortest deadline that can be meant.
const MOMENT: Duration = Duration::from_millis(10);

/// The top of the file; `None` is what was complained about, so that the rest can be judged all the same.
pub(super) struct Front {
    pub(super) public: Option<Origin>,
    pub(super) prefix: Option<String>,
    pub(super) listen: Option<Places>,
    pub(super) inherited: Vec<String>,
    pub(super) workers: Option<usize>,
    pub(super) tls: Option<Option<tls::Settings>>,
    pub(super) drain: Option<Duration>,
    pub(super) operator: Option<Option<SocketAddr>>,
    pub(super) operator_hosts: Option<Vec<String>>,
    pub(super) redirect: Option<Option<Places>>,
    pub(super) trusted_proxies: Option<Neighbours>,
    pub(super) proxied: Option<Neighbours>,
}

impl Front {
    /// The front door's addresses, as far as they are known.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let places = self.listen.iter().flat_map(|places| &places.list);
        places.filter_map(|place| if let Place::Tcp(address) = place { Some(*address) } else { None }).collect()
    }

    /// The front door, when it is whole.
    pub(super) fn server(&self, (limits, connections_per_client): (Limits, Option<usize>)) -> Option<server::Settings> {
        let tls = self.tls.clone()?;
        Some(server::Settings {
            listen: self.listen.clone()?,
            inherited: self.inherited.clone(),
            workers: self.workers?,
            tls,
            limits,
            proxied: self.proxied.clone()?,
            connections_per_client,
            drain: self.drain?,
        })
    }
}

/// Secure cookies are what https allows; over plain text they would never come back.
pub(super) fn cookies(public: &Origin) -> cookie::Policy {
    match public.scheme() {
        Scheme::Https => cookie::Policy::Secure,
        Scheme::Http => cookie::Policy::Relaxed,
    }
}

/// Reads it, and says in `notes` what an operator should know.
pub(super) fn read(root: &Table<'_>, notes: &mut Vec<String>) -> Front {
    root.require("public_url", "write the address that people type: public_url = \"https://wiki.example.com\"");
    let public = root.get("public_url", None, Written::Text, public_url);
    let dangerous = root.get("dangerous_plain_text_public_url", Some("false"), Written::Truth, truth);
    let tls = super::tls::read(root);
    let default = if root.has("tls") { "0.0.0.0:443" } else { "127.0.0.1:8080" };
    let mode = listen::socket_mode(root);
    let places = listen::places(root, default, mode);
    let redirect = listen::redirect(root, mode, public.as_ref());
    let workers = root.get("workers", None, Written::Number, |text| number(text, 1, 1024));
    let workers =
        if root.has("workers") { workers.and_then(|count| usize::try_from(count).ok()) } else { Some(cores()) };
    let prefix = root.get("prefix", Some("/.portcullis"), Written::Text, prefix);
    let trusted_proxies = listen::neighbours(root, "trusted_proxies");
    let proxied = listen::neighbours(root, "proxy_protocol");
    let drain = root.get("drain", Some("30s"), Written::Text, |text| duration(text, MOMENT, DAY));
    let (operator, operator_hosts) = listen::operator(root);
    if let (Some(public), Some(dangerous)) = (&public, dangerous) {
        weigh(root, public, dangerous, notes);
    }
    if let (Some(public), Some(places)) = (&public, &places)
        && public.scheme() == Scheme::Https
        && !root.has("tls")
    {
        let places: Vec<String> = places.list.iter().map(ToString::to_string).collect();
        let places = places.join(", ");
        notes.push(format!("{public} is https without [tls]: expecting whatever ends TLS in front of {places}"));
    }
    if let (Some(places), Some(Some(operator))) = (&places, operator) {
        listen::apart(root, places, operator, notes);
    }
    if let (Some(places), Some(Some(redirect))) = (&places, &redirect) {
        listen::redirect_apart(root, redirect, places, operator.flatten());
    }
    if let (Some(places), Some(believed)) = (&places, &trusted_proxies) {
        listen::weigh_unix(places, believed, "trusted_proxies", notes);
    }
    if let (Some(places), Some(believed)) = (&places, &proxied) {
        listen::weigh_unix(places, believed, "proxy_protocol", notes);
    }
    if let (Some(proxies), Some(balancers)) = (&trusted_proxies, &proxied) {
        listen::weigh_both(proxies, balancers, notes);
    }
    Front {
        public,
        prefix,
        listen: places,
        inherited: listen::inherited(root),
        workers,
        tls,
        drain,
        operator,
        operator_hosts,
        redirect,
        trusted_proxies,
        proxied,
    }
}

fn public_url(text: &str) -> Result<Origin, Wrong> {
    Origin::parse(text).map_err(|error| {
        let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
        let host = bare.split(['/', '?', '#']).next().unwrap_or_default();
        let scheme = if text.starts_with("http://") { "http" } else { "https" };
        let instead = if host.contains('@') || host.is_empty() {
            "write for example \"https://wiki.example.com\"".to_owned()
        } else {
            format!("write \"{scheme}://{host}\"")
        };
        Wrong::new(error.to_string(), instead)
    })
}

/// Plain text in public is refused unless the configuration itself says how dangerous that is.
fn weigh(root: &Table<'_>, public: &Origin, dangerous: bool, notes: &mut Vec<String>) {
    if public.scheme() == Scheme::Https {
        if dangerous {
            notes.push("dangerous_plain_text_public_url does nothing: public_url is https".to_owned());
        }
        return;
    }
    if root.has("tls") {
        let instead = format!("write \"https://{}\", or leave out [tls]", public.authority());
        root.complain("public_url", "is http although [tls] is there", instead);
    } else if public.is_loopback() {
        notes.push(format!("{public} is this machine: cookies go without Secure and __Host-, for development only"));
    } else if dangerous {
        notes.push(format!(
            "DANGEROUS: {public} is plain text, so everybody on the way can read and steal sessions (dangerous_plain_text_public_url)"
        ));
    } else {
        root.complain(
            "public_url",
            "is plain text: everybody on the way could read and steal sessions",
            format!("write \"https://{}\" (with [tls], or behind something that ends TLS)", public.authority()),
        );
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn prefix(text: &str) -> Result<String, Wrong> {
    let good = |segment: &str| {
        let plain = segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte));
        plain && !segment.is_empty() && !matches!(segment, "." | "..")
    };
    match text.strip_prefix('/') {
        Some(rest) if rest.split('/').all(good) => Ok(text.to_owned()),
        _ => Err(Wrong::new(
            format!("{text:?} cannot be the path of our own addresses"),
            "write for example \"/.portcullis\": letters, digits, and . _ ~ - between slashes, none at the end",
        )),
    }
}

/// `[limits]`.
pub(super) fn limits(root: &Table<'_>) -> Option<((Limits, Option<usize>), usize)> {
    let table = root.table("limits");
    let count = |key, default, least, most| {
        table
            .get(key, Some(default), Written::Number, |text| number(text, least, most))
            .and_then(|n| usize::try_from(n).ok())
    };
    let span = |key, default| table.get(key, Some(default), Written::Text, |text| duration(text, MOMENT, DAY));
    // hyper's HTTP/1 buffer cannot be smaller than 8 KiB.
    let header_size = table.get("header_size", Some("64KiB"), Written::Text, |text| size(text, 8192, 1 << 20));
    let headers = count("headers", "100", 10, 10_000);
    let header_timeout = span("header_timeout", "10s");
    let handshake_timeout = span("handshake_timeout", "10s");
    let body_idle_timeout = span("body_idle_timeout", "30s");
    let body_rate = table.get("body_rate", Some("240B"), Written::Text, |text| size(text, 0, 1 << 20));
    let connections = count("connections", "10000", 1, 10_000_000);
    let per_client = table.get("connections_per_client", None, Written::Number, |text| number(text, 1, 10_000_000));
    let streams = count("streams", "100", 1, 10_000);
    let connection_age = span("connection_age", "1h");
    let h2_idle_timeout = span("h2_idle_timeout", "1m");
    let login_body = table.get("login_body", Some("64KiB"), Written::Text, |text| size(text, 1024, 16 << 20));
    table.finish();
    if table.has("connections_per_client") && per_client.is_none() {
        return None;
    }
    let limits = Limits {
        header_size: header_size?,
        headers: headers?,
        header_timeout: header_timeout?,
        handshake_timeout: handshake_timeout?,
        connections: connections?,
        streams: u32::try_from(streams?).ok()?,
        connection_age: connection_age?,
        body_idle_timeout: body_idle_timeout?,
        body_rate: body_rate?,
        h2_idle_timeout: h2_idle_timeout?,
    };
    Some(((limits, per_client.and_then(|count| usize::try_from(count).ok())), login_body?))
}

/// `[log]`.
pub(super) fn log(root: &Table<'_>) -> Option<telemetry::Settings> {
    let table = root.table("log");
    let formats = [("text", telemetry::Format::Text), ("json", telemetry::Format::Json)];
    let format = table.get("format", Some("text"), Written::Text, |text| choice(text, &formats));
    let level = table.get("level", Some("info"), Written::Text, level);
    let switch = [("on", telemetry::Access::On), ("off", telemetry::Access::Off)];
    let access = table.get("access", Some("on"), Written::Text, |text| choice(text, &switch));
    table.finish();
    Some(telemetry::Settings { format: format?, level: level?, access: access? })
}

/// A level, or directives for parts of the program. A bare word that is no level would be read as the name of
/// a part, and silence all others.
fn level(text: &str) -> Result<String, Wrong> {
    if !text.contains('=') {
        let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
        return choice(text, &levels).map(str::to_owned);
    }
    let instead = "write a level, or for example \"info,portcullis::login=debug\"";
    telemetry::check_level(text).map_err(|error| Wrong::new(error.to_string(), instead))?;
    Ok(text.to_owned())
}
