//! `[upstream]` and the addresses of apps: how apps are reached, and how long they may take.
//!
//! An address names a place and nothing after it: the app receives paths as they were asked for. Called by
//! `config::file` and `config::routes`.

pub(super) mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use super::problem::Wrong;
use super::reader::{Table, Written};
use super::value::{duration, number};
use crate::proxy::upstream::{Limit, Settings, Source};
use crate::route::{Address, Place, Transport};

pub(super) const DAY: Duration = Duration::from_secs(86_400);
/// The shortest deadline that can be meant.
pub(super) const MOMENT: Duration = Duration::from_millis(10);
/// What to write where there is no address.
pub(super) const EXAMPLE: &str = "write where the app listens: \"http://127.0.0.1:3000\"";
/// What fits into `sockaddr_un`, less its end.
const LONGEST_SOCKET: usize = 107;

/// An address of an app, as a route names it.
pub(super) fn address(text: &str, ours: &[SocketAddr]) -> Result<Address, Wrong> {
    for (scheme, transport) in [("unix:", Transport::Http), ("h2c+unix:", Transport::H2c)] {
        if let Some(path) = text.strip_prefix(scheme) {
            return Ok(Address { transport, place: socket(path, scheme)? });
        }
    }
    let Some(url) = Url::parse(text).ok().filter(|url| url.has_host()) else {
        let guess = !text.contains("://") && Url::parse(&format!("http://{text}")).is_ok() && !text.contains('@');
        let host = text.split(['/', '?', '#']).next().unwrap_or_default();
        let instead = if guess && !host.is_empty() { format!("write \"http://{host}\"") } else { EXAMPLE.to_owned() };
        return Err(Wrong::new("is not an address", instead));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new("contains a user name or password", EXAMPLE));
    }
    let scheme = url.scheme();
    let (transport, default) = match scheme {
        "http" => (Transport::Http, 80),
        "https" => (Transport::Https, 443),
        "h2c" => (Transport::H2c, 80),
        _ => {
            let instead = "write http://, https://, h2c:// or unix:";
            return Err(Wrong::new(format!("begins with {scheme}://"), instead));
        }
    };
    let host = url.host_str().unwrap_or_default();
    let port = url.port().unwrap_or(default);
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        let instead = format!("write \"{scheme}://{host}:{port}\": the app receives paths as they were asked for");
        return Err(Wrong::new("has something after the host and port", instead));
    }
    if port == 0 {
        return Err(Wrong::new("names port 0", EXAMPLE));
    }
    if ours.iter().any(|listen| is_here(&url, *listen) && listen.port() == port) {
        return Err(Wrong::new(
            format!("{scheme}://{host}:{port} is this gateway itself"),
            "write where the app listens, or move listen",
        ));
    }
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Address { transport, place: Place::Tcp { host, port } })
}

/// Whether a host is where `listen` listens.
fn is_here(url: &Url, listen: SocketAddr) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => {
            name == "localhost" && (listen.ip().is_unspecified() || listen.ip().is_loopback())
        }
        Some(url::Host::Ipv4(ip)) => listen.ip() == ip || (listen.ip().is_unspecified() && ip.is_loopback()),
        Some(url::Host::Ipv6(ip)) => listen.ip() == ip || (listen.ip().is_unspecified() && ip.is_loopback()),
        None => false,
    }
}

/// A socket in the file system. It need not be there yet: apps start in their own time.
fn socket(path: &str, scheme: &str) -> Result<Place, Wrong> {
    let instead = format!("write the whole path: \"{scheme}/run/app.sock\"");
    if !path.starts_with('/') || path.starts_with("//") || path.ends_with('/') {
        return Err(Wrong::new(format!("{path:?} is not the path of a socket"), instead));
    }
    if path.len() > LONGEST_SOCKET {
        let what = format!("is longer than the {LONGEST_SOCKET} bytes that the path of a socket may have");
        return Err(Wrong::new(what, "move the socket to a shorter path"));
    }
    Ok(Place::Unix(path.into()))
}

/// Whose limits are read.
enum Reader<'a> {
    /// `[upstream]`'s, with a default for each.
    Common,
    /// Those of a route by name, where it has any of its own; what holds for all others where it has not.
    Route(&'a str, Option<&'a Settings>),
}

/// Reads `[upstream]`.
pub(super) fn read(root: &Table<'_>) -> Option<Settings> {
    let table = root.table("upstream");
    let settings = Reader::Common.read(&table);
    table.finish();
    settings
}

/// The keys of `[upstream]` that the route called `name` has for itself; `common` is what holds for all others.
pub(super) fn overrides(route: &Table<'_>, name: &str, common: Option<&Settings>) -> Option<Settings> {
    Reader::Route(name, common).read(route)
}

impl Reader<'_> {
    fn read(&self, table: &Table<'_>) -> Option<Settings> {
        let connect_timeout = self.span(table, "connect_timeout", "5s", |common| &common.connect_timeout);
        let first_byte_timeout = self.span(table, "first_byte_timeout", "60s", |common| &common.first_byte_timeout);
        let idle_timeout = self.span(table, "idle_timeout", "5m", |common| &common.idle_timeout);
        let tunnel_idle_timeout = self.span(table, "tunnel_idle_timeout", "1h", |common| &common.tunnel_idle_timeout);
        let pool_idle_timeout = self.span(table, "pool_idle_timeout", "4s", |common| &common.pool_idle_timeout);
        let read = |text: &str| {
            let count = number(text, 1, 1_000_000)?;
            Ok(usize::try_from(count).unwrap_or(usize::MAX))
        };
        let connections = self.limit(table, "connections", "1000", Written::Number, read, |common| &common.connections);
        Some(Settings {
            connect_timeout: connect_timeout?,
            first_byte_timeout: first_byte_timeout?,
            idle_timeout: idle_timeout?,
            tunnel_idle_timeout: tunnel_idle_timeout?,
            pool_idle_timeout: pool_idle_timeout?,
            connections: connections?,
        })
    }

    fn span(
        &self,
        table: &Table<'_>,
        key: &'static str,
        default: &str,
        of: fn(&Settings) -> &Limit<Duration>,
    ) -> Option<Limit<Duration>> {
        self.limit(table, key, default, Written::Text, |text| duration(text, MOMENT, DAY), of)
    }

    /// What `key` says; `of` finds it in what holds for all.
    fn limit<T: Copy>(
        &self,
        table: &Table<'_>,
        key: &'static str,
        default: &str,
        written: Written,
        read: impl FnOnce(&str) -> Result<T, Wrong>,
        of: fn(&Settings) -> &Limit<T>,
    ) -> Option<Limit<T>> {
        match *self {
            Self::Common => {
                table.get(key, Some(default), written, read).map(|value| Limit::new(value, "", key, Source::Common))
            }
            Self::Route(name, common) => {
                let own = table.get(key, None, written, read).map(|value| Limit::new(value, name, key, Source::Route));
                if table.has(key) {
                    return own;
                }
                common.map(|common| Limit::new(of(common).value, name, key, Source::Common))
            }
        }
    }
}

#[cfg(test)]
mod tests;
