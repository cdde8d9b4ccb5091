//! `listen`, `socket_mode`, `trusted_proxies`, `proxy_protocol`, `[redirect]`, `[operator]`: the places that
//! connections come in through, and who stands in front of them.
//!
//! Called by `config::front`.

use std::net::{IpAddr, SocketAddr};

use super::problem::Wrong;
use super::reader::{Table, Written};
use super::value::{listen, network};
use crate::http::origin::Origin;
use crate::http::{Neighbour, Neighbours, Scheme};
use crate::server::listen::{self as server, Place, Places};

/// What an environment variable calls the sockets that systemd hands over.
const SOCKET_NAMES: &str = "LISTEN_FDNAMES";

/// Where http usually is.
const REDIRECT_EXAMPLE: &str = "0.0.0.0:80";

/// The places of `listen`, with the mode of their unix sockets; `default` where it was not written.
pub(super) fn places(table: &Table<'_>, default: &str, mode: Option<u32>) -> Option<Places> {
    let list = table.one_or_more("listen", |text| place(table, text));
    let list = if table.has("listen") { list? } else { vec![Place::Tcp(listen(default).ok()?)] };
    if list.is_empty() {
        table.complain("listen", "is empty", format!("write for example \"{default}\""));
        return None;
    }
    for (index, place) in list.iter().enumerate() {
        if list[..index].contains(place) {
            table.complain("listen", format!("has \"{place}\" twice"), "write each place once");
            return None;
        }
    }
    Some(Places { list, mode: mode? })
}

fn place(table: &Table<'_>, text: &str) -> Result<Place, Wrong> {
    if let Some(path) = text.strip_prefix(server::UNIX) {
        if !server::is_path(path.as_ref()) {
            let what = format!("{text:?} is no path: without a file there would be no permissions");
            return Err(Wrong::new(what, "write for example \"unix:/run/portcullis/front.sock\""));
        }
        return Ok(Place::Unix(table.reader.sources.resolve(path)));
    }
    match text.split_once(':') {
        None if text == "systemd" => Ok(Place::Inherited(None)),
        Some(("systemd", name)) if !name.is_empty() && !name.contains(':') => {
            Ok(Place::Inherited(Some(name.to_owned())))
        }
        Some(("systemd", _)) => Err(Wrong::new(
            format!("{text:?} names no socket"),
            "write \"systemd\", or \"systemd:NAME\" with the FileDescriptorName= of the .socket unit",
        )),
        _ => listen(text).map(Place::Tcp),
    }
}

/// `socket_mode`: permissions in octal digits.
pub(super) fn socket_mode(root: &Table<'_>) -> Option<u32> {
    root.get("socket_mode", Some("0660"), Written::Text, |text| {
        let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if digits && mode <= 0o777 => Ok(mode),
            _ => Err(Wrong::new(
                format!("{text:?} is no set of permissions"),
                "write octal digits: \"0660\" for the owner and the group, \"0666\" for everybody",
            )),
        }
    })
}

/// The names of the sockets that systemd hands over, in their order.
pub(super) fn inherited(root: &Table<'_>) -> Vec<String> {
    let names = root.reader.sources.variable(SOCKET_NAMES).unwrap_or_default();
    names.split(':').map(str::to_owned).collect()
}

/// A list of neighbours: networks, addresses and `"unix"`.
pub(super) fn neighbours(root: &Table<'_>, key: &str) -> Option<Neighbours> {
    let read = |text: &str| if text == "unix" { Ok(Neighbour::Unix) } else { network(text).map(Neighbour::Network) };
    root.list(key, &[], read).map(Neighbours)
}

/// Says what is odd about a neighbour who is believed twice.
pub(super) fn weigh_both(proxies: &Neighbours, balancers: &Neighbours, notes: &mut Vec<String>) {
    for both in balancers.0.iter().filter(|neighbour| proxies.0.contains(neighbour)) {
        let name = match both {
            Neighbour::Network(network) => network.to_string(),
            Neighbour::Unix => "unix".to_owned(),
        };
        notes.push(format!(
            "{name} is in proxy_protocol and in trusted_proxies: where it cannot tell a client's address, that client's own X-Forwarded-For is believed"
        ));
    }
}

/// Says what is odd about believing whoever can open a unix socket.
pub(super) fn weigh_unix(places: &Places, believed: &Neighbours, key: &str, notes: &mut Vec<String>) {
    let unix = places.list.iter().any(|place| matches!(place, Place::Unix(_)));
    if unix && believed.0.contains(&Neighbour::Unix) && places.mode & 0o002 != 0 {
        notes.push(format!(
            "everybody on this machine may open the unix socket (socket_mode) and is believed about where requests come from ({key} has \"unix\")"
        ));
    }
}

/// `[redirect]`: `None` within when there is none.
pub(super) fn redirect(root: &Table<'_>, mode: Option<u32>, public: Option<&Origin>) -> Option<Option<Places>> {
    let table = root.table("redirect");
    let list = if table.is_present() {
        table.require("listen", "write listen = \"0.0.0.0:80\"");
        places(&table, REDIRECT_EXAMPLE, mode)
    } else {
        table.one_or_more("listen", |text| place(&table, text)).map(|list| Places { list, mode: 0 })
    };
    table.finish();
    if !table.is_present() {
        return Some(None);
    }
    if public.is_some_and(|public| public.scheme() == Scheme::Http) {
        let instead = "write public_url = \"https://...\", or leave [redirect] out";
        root.complain("redirect", "would lead to public_url, which is http itself", instead);
        return None;
    }
    list.map(Some)
}

/// Complains when the redirect's place is somebody else's.
pub(super) fn redirect_apart(root: &Table<'_>, redirect: &Places, front: &Places, operator: Option<SocketAddr>) {
    let operator = operator.map(Place::Tcp);
    for place in &redirect.list {
        let whose = if front.list.iter().any(|other| collide(place, other)) {
            "the front door's"
        } else if operator.iter().any(|other| collide(place, other)) {
            "the operator's"
        } else {
            continue;
        };
        root.table("redirect").complain("listen", format!("{place} is {whose} too"), "write another port");
    }
}

/// `[operator]`: where, and by which names.
pub(super) fn operator(root: &Table<'_>) -> (Option<Option<SocketAddr>>, Option<Vec<String>>) {
    let table = root.table("operator");
    let address = table.get("listen", Some("127.0.0.1:9180"), Written::Text, |text| match text {
        "off" => Ok(None),
        text => listen(text).map(Some),
    });
    let hosts = table.list("hosts", &[], |text| {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if plain {
            return Ok(text.to_ascii_lowercase());
        }
        Err(Wrong::new(format!("{text:?} is no name of a host"), "write only the name: \"portcullis.internal\""))
    });
    table.finish();
    (address, hosts)
}

/// Complains when the operator's address is one of the front door's, and notes when it is reachable from elsewhere.
pub(super) fn apart(root: &Table<'_>, front: &Places, operator: SocketAddr, notes: &mut Vec<String>) {
    if front.list.iter().any(|place| collide(place, &Place::Tcp(operator))) {
        let what = format!("{operator} is the front door's address too");
        root.table("operator").complain("listen", what, "write another port, or \"off\"");
    }
    let public = match operator.ip() {
        IpAddr::V4(ip) => !ip.is_loopback(),
        IpAddr::V6(ip) => !ip.is_loopback(),
    };
    if public {
        notes.push(format!(
            "the operator's listener at {operator} is not on loopback: whoever reaches it reads the metrics"
        ));
    }
}

/// Whether two places cannot both be listened at.
fn collide(one: &Place, other: &Place) -> bool {
    match (one, other) {
        (Place::Tcp(one), Place::Tcp(other)) => {
            let all = one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() != 0 && one.port() == other.port() && (all || one.ip() == other.ip())
        }
        _ => one == other,
    }
}
