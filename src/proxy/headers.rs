//! Header hygiene, both ways.
//!
//! "Intermediaries MUST parse a received Connection header field before a message is forwarded and, for each
//! connection-option in this field, remove any header or trailer field(s) from the message with the same name
//! as the connection-option, and then remove the Connection header field itself" (RFC 9110 section 7.6.1).
//! All `Connection` lines are walked: `HeaderMap::remove` and `get` see the first alone. Identity is added
//! after this, so that no client can nominate it away (CVE-2024-45410). Called by `proxy`.

use std::net::IpAddr;

use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use hyper::{HeaderMap, Version};

use super::absolute::{DEPTH, DESTINATION, is_override};
use super::inject::Managed;
use super::rumours::speaks_of_the_client;
use super::survey::{Field, Survey};
use crate::http::fields::{Fields, Received};
use crate::http::strict::text;
use crate::http::{Neighbours, Remote, Scheme};
use crate::session::cookie;
use crate::telemetry::write_address;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What stands for a client of a unix socket.
const UNKNOWN: &[u8] = b"unknown";

/// Why a message head is refused: two readers could frame it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFraming {
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112 section 6.1).
    #[error("the length of the body is given twice")]
    TwoLengths,
    /// A transfer coding other than `chunked` alone, or one in HTTP/1.0.
    #[error("the transfer coding is not chunked")]
    TransferCoding,
    /// Several `Content-Length` lines.
    #[error("the Content-Length is given more than once")]
    RepeatedLength,
}

/// Checks how a request is framed, before anything is made of it.
///
/// # Errors
/// [`BadFraming`]; the connection is to be closed after the answer.
pub fn check_framing(version: Version, headers: &HeaderMap) -> Result<(), BadFraming> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).into_iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(BadFraming::RepeatedLength);
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).into_iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(_), _) if length.is_some() => Err(BadFraming::TwoLengths),
        (Some(coding), None) if version == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Ok(())
        }
        _ => Err(BadFraming::TransferCoding),
    }
}

/// Whether a field may concern one connection alone. One look at the names of a head tells whether it has any of
/// them, which is cheaper than to ask the map for each.
pub(super) fn concerns_a_hop(name: impl AsRef<[u8]>) -> bool {
    let name = name.as_ref();
    let is = |ours: &str| name.eq_ignore_ascii_case(ours.as_bytes());
    match name.len() {
        2 => is("te"),
        6 => is("expect"),
        7 => is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        14 => is("content_length"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding") || is("transfer_encoding"),
        18 => is("proxy-authenticate"),
        19 => is("proxy-authorization"),
        _ => false,
    }
}

/// Removes what concerns one connection alone, whatever the message, and what frames it for readers who take `_` for
/// `-`.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let nominated: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .into_iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
            .collect();
        for name in nominated {
            // Framing and routing are not a client's to nominate away: they are dealt with by name below.
            if name != HOST && name != CONTENT_LENGTH && name != TRANSFER_ENCODING && name != TE {
                headers.remove(name);
            }
        }
        headers.remove(CONNECTION);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, UPGRADE] {
        headers.remove(name);
    }
    for name in ["content_length", "transfer_encoding"] {
        headers.remove(name);
    }
}

/// Takes out of trailers what an app that merges them into the headers would believe: what proxies say of the
/// client, credentials, and what frames or routes a message (RFC 9110 section 6.5.1) or leads to another target.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, TE, COOKIE, AUTHORIZATION, EXPECT, VIA, DESTINATION, DEPTH] {
        trailers.remove(name);
    }
    let overrides: Vec<HeaderName> = trailers.keys().filter(|name| is_override(name.as_ref())).cloned().collect();
    for name in overrides {
        trailers.remove(name);
    }
    remove_forwarding(trailers);
}

/// What the app is told about who is asking.
#[derive(Clone, Copy, Debug)]
pub struct Forwarding<'a> {
    /// Where the connection came from.
    pub peer: Remote,
    /// Whose `X-Forwarded-For` and `Forwarded` are believed.
    pub trusted: &'a Neighbours,
    /// How people reach us: the public address's scheme, never a header's.
    pub scheme: Scheme,
    /// The host that was judged.
    pub host: &'a HeaderValue,
}

/// Cleans a request's head for the app: hop-by-hop fields out, `TE: trailers` kept, `Expect` answered here
/// (RFC 9110 section 10.1.1), forwarding fields rebuilt, `Via` added ("A proxy MUST send an appropriate Via
/// header field", section 7.6.3).
///
/// What it returns is to be added behind everything else.
pub fn clean_request<'a>(headers: &mut HeaderMap, survey: Survey, forwarding: Forwarding<'a>) -> Forwarded<'a> {
    if survey.has(Field::Hop) || (survey.has(Field::Connection) && !only_persists((&*headers).into())) {
        end_hop(headers);
    } else if survey.has(Field::Connection) {
        headers.remove(CONNECTION);
    }
    let forwarded = read_forwarding((&*headers).into(), survey, forwarding);
    if survey.has(Field::Forwarding) {
        remove_forwarding(headers);
    }
    forwarded
}

/// Whether a request that ends with its head says nothing of the hop but that it goes on: anything else takes a map.
pub fn goes_as_lines(fields: Fields<'_>, survey: Survey) -> bool {
    let persists = !survey.has(Field::Connection) || only_persists(fields);
    persists && !survey.has(Field::Hop) && !survey.has(Field::Framing) && !survey.has(Field::Expect)
}

/// The same for the lines of a request that [`goes_as_lines`], and every spelling of a managed name with it.
pub fn clean_request_lines<'a>(
    lines: &mut Received,
    survey: Survey,
    managed: &Managed,
    forwarding: Forwarding<'a>,
) -> Forwarded<'a> {
    let forwarded = read_forwarding(lines.fields(), survey, forwarding);
    let (forwards, manages) = (survey.has(Field::Forwarding), survey.has(Field::Managed));
    if survey.has(Field::Connection) || forwards || manages {
        lines.retain(|field| {
            let name = field.name();
            let goes =
                concerns_a_hop(name) || (forwards && speaks_of_the_client(name)) || (manages && managed.contains(name));
            !goes
        });
    }
    forwarded
}

/// Whether all that a `Connection` asks for is to be kept, as browsers do: it nominates a field that is not there.
fn only_persists(fields: Fields<'_>) -> bool {
    fields.values(&CONNECTION).all(|line| line.eq_ignore_ascii_case(b"keep-alive"))
}

/// Ends what was between the client and us in a request's head.
fn end_hop(headers: &mut HeaderMap) {
    let takes_trailers = headers.get_all(TE).into_iter().any(|line| {
        line.as_bytes().split(|byte| *byte == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    });
    remove_hop_by_hop(headers);
    headers.remove(TE);
    headers.remove(TRANSFER_ENCODING);
    headers.remove(EXPECT);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

/// The client's address: the peer's, or, behind a trusted proxy, the right-most address of
/// `X-Forwarded-For` that no trusted proxy has.
pub fn client_address(fields: Fields<'_>, peer: Remote, trusted: &Neighbours) -> Option<IpAddr> {
    if !trusted.hold(peer) {
        return peer.ip();
    }
    let mut client = peer.ip();
    let lines: Vec<&[u8]> = fields.values(&X_FORWARDED_FOR).collect();
    for line in lines.into_iter().rev() {
        for hop in text(line).unwrap_or_default().rsplit(',') {
            match hop.trim().parse::<IpAddr>() {
                Ok(address) if trusted.hold_ip(address) => client = Some(address),
                Ok(address) => return Some(address),
                Err(_) => return client,
            }
        }
    }
    client
}

fn read_forwarding<'a>(fields: Fields<'_>, survey: Survey, forwarding: Forwarding<'a>) -> Forwarded<'a> {
    let mut chain = String::new();
    let mut elements = String::new();
    if survey.has(Field::Forwarding) && forwarding.trusted.hold(forwarding.peer) {
        chain = joined(fields, &X_FORWARDED_FOR);
        elements = joined(fields, &FORWARDED);
        // A quote that stays open would swallow the element that we add (RFC 7239 section 4).
        if !is_balanced(&elements) {
            elements.clear();
        }
    }
    let peer = forwarding.peer.ip().map(|ip| ip.to_canonical());
    Forwarded { chain, elements, peer, scheme: forwarding.scheme, host: forwarding.host }
}

/// How a request came here, for the app: what trusted proxies said, who is at the other end, and what was asked for.
#[derive(Clone, Debug)]
pub struct Forwarded<'a> {
    chain: String,
    elements: String,
    peer: Option<IpAddr>,
    scheme: Scheme,
    host: &'a HeaderValue,
}

impl Forwarded<'_> {
    /// The names of its lines.
    pub const NAMES: [HeaderName; 5] = [X_FORWARDED_FOR, FORWARDED, X_FORWARDED_PROTO, X_FORWARDED_HOST, VIA];

    /// Writes it as lines. Piece by piece, because a copy of known length takes no call.
    pub fn write(&self, to: &mut Vec<u8>) {
        let (host, scheme) = (self.host.as_bytes(), self.scheme.as_str().as_bytes());
        let (open, close) = if self.peer.is_some_and(|ip| ip.is_ipv6()) { ("\"[", "]\"") } else { ("", "") };
        to.extend_from_slice(b"x-forwarded-for: ");
        write_others(&self.chain, to);
        let begin = to.len();
        match self.peer {
            Some(ip) => write_address(ip, to),
            // "If the preceding node's identity is not known" (RFC 7239 section 6.2); its place in the chain is kept.
            None => to.extend_from_slice(UNKNOWN),
        }
        let peer = begin..to.len();
        to.extend_from_slice(b"\r\nforwarded: ");
        write_others(&self.elements, to);
        to.extend_from_slice(b"for=");
        to.extend_from_slice(open.as_bytes());
        to.extend_from_within(peer);
        to.extend_from_slice(close.as_bytes());
        to.extend_from_slice(b";host=\"");
        to.extend_from_slice(host);
        to.extend_from_slice(b"\";proto=");
        to.extend_from_slice(scheme);
        to.extend_from_slice(b"\r\nx-forwarded-proto: ");
        to.extend_from_slice(scheme);
        to.extend_from_slice(b"\r\nx-forwarded-host: ");
        to.extend_from_slice(host);
        to.extend_from_slice(b"\r\nvia: 1.1 portcullis\r\n");
    }
}

/// What others said, if anything, so that something can follow.
fn write_others(others: &str, to: &mut Vec<u8>) {
    if !others.is_empty() {
        to.extend_from_slice(others.as_bytes());
        to.extend_from_slice(b", ");
    }
}

fn is_balanced(elements: &str) -> bool {
    let mut quoted = false;
    let mut characters = elements.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' if quoted => _ = characters.next(),
            _ => {}
        }
    }
    !quoted
}

fn remove_forwarding(headers: &mut HeaderMap) {
    let doomed: Vec<HeaderName> = headers.keys().filter(|name| speaks_of_the_client(name)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
}

fn joined(fields: Fields<'_>, name: &HeaderName) -> String {
    let lines: Vec<&str> = fields.values(name).filter_map(text).collect();
    lines.join(", ")
}

/// Cleans a response's head for the client. "If a message is received with both a Transfer-Encoding and a
/// Content-Length header field, the Transfer-Encoding overrides the Content-Length" (RFC 9112 section 6.3);
/// the coding itself is this hop's own.
pub fn clean_response(headers: &mut HeaderMap) {
    if !headers.keys().any(concerns_a_hop) {
        return;
    }
    remove_hop_by_hop(headers);
    if headers.remove(TRANSFER_ENCODING).is_some() {
        headers.remove(CONTENT_LENGTH);
    }
}

/// The same for lines, and without the cookies that bear a name of ours. False for a head of which more has to go than
/// what it has: that takes a map, and nothing was taken out.
pub fn clean_response_lines(lines: &mut Received) -> bool {
    let (mut has_any, mut nominates) = (false, false);
    for field in lines.fields() {
        let name = field.name();
        if concerns_a_hop(name) {
            has_any = true;
            let options = field.value().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            let known =
                |option: &[u8]| [&b"keep-alive"[..], b"close"].iter().any(|ours| option.eq_ignore_ascii_case(ours));
            // What frames a message was read by whoever read it, which took no two lengths.
            nominates |=
                field.is("connection") && !options.into_iter().all(known) || field.is("te") || field.is("expect");
        }
        // A connection that closes nominates a field of that name.
        nominates |= field.is("close");
        has_any |= field.is("set-cookie") && cookie::is_impostor(field.value());
    }
    if nominates {
        return false;
    }
    if has_any {
        lines.retain(|field| {
            let goes = concerns_a_hop(field.name()) || (field.is("set-cookie") && cookie::is_impostor(field.value()));
            !goes
        });
    }
    true
}

/// Whether a request asks for another protocol on its connection: the names it offers.
pub fn upgrade_offer(headers: &HeaderMap) -> Option<&HeaderValue> {
    let nominated = headers.get_all(CONNECTION).into_iter().any(|line| {
        line.as_bytes().split(|byte| *byte == b',').any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    if nominated { headers.get(UPGRADE) } else { None }
}

#[cfg(test)]
mod tests;
