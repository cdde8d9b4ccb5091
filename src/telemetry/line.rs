//! One request as one line, in JSON or in text. The format is a contract: `docs/log.md`.
//!
//! A struct with named fields, so that no query, cookie or header gets in by accident; written straight into
//! the worker's buffer, because a line formatted through `tracing` would cost more than the session check.
//! Called by `telemetry::access`.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use hyper::{Method, StatusCode};
use serde::Serialize;

use super::Format;
use super::request_id::RequestId;

/// What a client may make a field as long as: a line stays a line.
const LONGEST: usize = 2048;

/// What became of a request, as the policy had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A signed-in user's request went to the app.
    Pass,
    /// A request to a public route went to the app.
    Public,
    /// Nobody was signed in: shown the way to sign in.
    SignIn,
    /// Somebody was signed in who may not.
    Forbid,
    /// One of the gateway's own addresses.
    Own,
    /// Sent from http to https.
    Redirect,
    /// Refused before the question came up: no route, no readable request.
    Refuse,
}

impl Decision {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 7] =
        [Self::Pass, Self::Public, Self::SignIn, Self::Forbid, Self::Own, Self::Redirect, Self::Refuse];

    /// Its name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Public => "public",
            Self::SignIn => "sign_in",
            Self::Forbid => "forbid",
            Self::Own => "own",
            Self::Redirect => "redirect",
            Self::Refuse => "refuse",
        }
    }
}

/// One request, after it is done.
#[derive(Clone, Debug)]
pub struct AccessLine<'a> {
    /// When the answer began: by the wall clock when the head had come, and `duration` later. Nothing is judged by it.
    pub time: SystemTime,
    /// Its name, which pages show.
    pub request_id: RequestId,
    /// The client, behind trusted proxies; none for one that came by a unix socket.
    pub client: Option<IpAddr>,
    /// The method.
    pub method: &'a Method,
    /// The authority that was asked for.
    pub host: &'a str,
    /// The path; a query is cut off.
    pub path: &'a str,
    /// The answer's status.
    pub status: StatusCode,
    /// The route's name, when one was found.
    pub route: Option<&'a str>,
    /// Who was signed in.
    pub user: Option<&'a str>,
    /// What became of it.
    pub decision: Decision,
    /// The refusal's code, when it was refused.
    pub refusal: Option<&'static str>,
    /// From the head's arrival to the answer's head.
    pub duration: Duration,
    /// Which of several addresses of the app was asked.
    pub address: Option<&'a str>,
    /// The length of the answer's body, when it is known beforehand.
    pub bytes: Option<u64>,
}

impl AccessLine<'_> {
    /// Appends the line, with its line end, at `time` (RFC 3339).
    pub(super) fn write(&self, format: Format, time: &str, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        let written = match format {
            Format::Json => self.write_json(time, buffer).is_ok(),
            Format::Text => self.write_text(time, buffer).is_ok(),
        };
        if written {
            buffer.push(b'\n');
        } else {
            // Writing to memory does not fail; half a line would be worse than none.
            buffer.truncate(start);
        }
    }

    /// Piece by piece, because a copy of known length takes no call.
    fn write_json(&self, time: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
        // Names, times, numbers and methods need no escape; whatever else a client or a person chose is a `quote`.
        buffer.extend_from_slice(b"{\"time\":\"");
        buffer.extend_from_slice(time.as_bytes());
        buffer.extend_from_slice(b"\",\"request_id\":\"");
        buffer.extend_from_slice(self.request_id.as_str().as_bytes());
        buffer.extend_from_slice(b"\",\"client\":\"");
        write_client(self.client, buffer);
        buffer.extend_from_slice(b"\",\"method\":\"");
        buffer.extend_from_slice(cut(self.method.as_str()).as_bytes());
        buffer.extend_from_slice(b"\",\"host\":");
        quote(cut(self.host), buffer)?;
        buffer.extend_from_slice(b",\"path\":");
        quote(cut(before_query(self.path)), buffer)?;
        buffer.extend_from_slice(b",\"status\":");
        buffer.extend_from_slice(self.status.as_str().as_bytes());
        buffer.extend_from_slice(b",\"decision\":\"");
        buffer.extend_from_slice(self.decision.as_str().as_bytes());
        buffer.push(b'"');
        if let Some(refusal) = self.refusal {
            buffer.extend_from_slice(b",\"refusal\":");
            quote(refusal, buffer)?;
        }
        if let Some(route) = self.route {
            buffer.extend_from_slice(b",\"route\":");
            quote(route, buffer)?;
        }
        if let Some(address) = self.address {
            buffer.extend_from_slice(b",\"address\":");
            quote(address, buffer)?;
        }
        if let Some(user) = self.user {
            buffer.extend_from_slice(b",\"user\":");
            quote(cut(user), buffer)?;
        }
        buffer.extend_from_slice(b",\"duration_us\":");
        write_number(micros(self.duration), buffer);
        if let Some(bytes) = self.bytes {
            buffer.extend_from_slice(b",\"bytes\":");
            write_number(bytes, buffer);
        }
        buffer.push(b'}');
        Ok(())
    }

    fn write_text(&self, time: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
        write!(buffer, "{time} ")?;
        write_client(self.client, buffer);
        buffer.push(b' ');
        escape(cut(self.method.as_str()), buffer);
        buffer.push(b' ');
        escape(cut(self.host), buffer);
        buffer.push(b' ');
        escape(cut(before_query(self.path)), buffer);
        write!(buffer, " {} {}", self.status.as_u16(), self.decision.as_str())?;
        if let Some(refusal) = self.refusal {
            write!(buffer, " refusal={refusal}")?;
        }
        for (name, value) in [("route", self.route), ("address", self.address), ("user", self.user.map(cut))] {
            if let Some(value) = value {
                write!(buffer, " {name}=")?;
                escape(value, buffer);
            }
        }
        write!(buffer, " {}us", micros(self.duration))?;
        if let Some(bytes) = self.bytes {
            write!(buffer, " bytes={bytes}")?;
        }
        write!(buffer, " id={}", self.request_id)
    }
}

/// A JSON string. Nearly all are plain ASCII, which needs one look and no escapes; anything else is serde_json's.
fn quote(value: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
    if !is_plain(value.as_bytes()) {
        return Ok(value.serialize(&mut serde_json::Serializer::with_formatter(buffer, Harmless))?);
    }
    buffer.push(b'"');
    buffer.extend_from_slice(value.as_bytes());
    buffer.push(b'"');
    Ok(())
}

/// Whether a text is printable ASCII without `"` and `\`: eight bytes at a time, and no early end.
fn is_plain(text: &[u8]) -> bool {
    let (eights, rest) = text.as_chunks();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    eights.iter().chain([&last]).fold(0, |odd, eight| odd | odd_bytes(u64::from_le_bytes(*eight))) == 0
}

/// Not zero when any of eight bytes is none that JSON and terminals leave alone.
fn odd_bytes(eight: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // A byte that borrows from the next one is odd itself, and one is enough.
    let below = |limit: u64| eight.wrapping_sub(ONES * limit) & !eight;
    let equals = |byte: u8| {
        let differs = eight ^ (ONES * u64::from(byte));
        differs.wrapping_sub(ONES) & !differs
    };
    (eight | eight.wrapping_add(ONES) | below(0x20) | equals(b'"') | equals(b'\\')) & HIGH
}

/// Appends who a request came from.
fn write_client(client: Option<IpAddr>, text: &mut Vec<u8>) {
    match client {
        Some(address) => write_address(address, text),
        None => text.extend_from_slice(b"unix"),
    }
}

/// Appends an address as people write it. By hand for IPv4, because each request writes two of them and the
/// standard library's formatter takes twenty times as long.
pub fn write_address(address: IpAddr, text: &mut Vec<u8>) {
    let IpAddr::V4(address) = address else {
        return text.extend_from_slice(address.to_string().as_bytes());
    };
    for (position, octet) in address.octets().into_iter().enumerate() {
        if position > 0 {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
}

/// Decimal digits, at a fifth of what the formatter of the standard library takes.
fn write_number(mut value: u64, buffer: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut begin = digits.len();
    for (position, digit) in digits.iter_mut().enumerate().rev() {
        *digit += u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
        begin = position;
        if value == 0 {
            break;
        }
    }
    buffer.extend_from_slice(&digits[begin..]);
}

/// JSON as serde_json writes it, with what JSON leaves alone escaped as well: what a terminal or a viewer would
/// act upon.
struct Harmless;

impl serde_json::ser::Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| byte.is_ascii() && byte != 0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if acts(character) {
                // All of them lie below U+10000, so that one escape is enough.
                write!(writer, "\\u{:04x}", u32::from(character))?;
            } else {
                writer.write_all(character.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }
}

/// DEL and the C1 controls, line and paragraph separators, and what changes the direction of text.
fn acts(character: char) -> bool {
    matches!(character,
        '\u{7f}'..='\u{9f}'
        | '\u{61c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}')
}

/// Nothing that a client chooses may end a line, colour a terminal or pass for another field: white space, control
/// and format characters, `"`, `=` and `\` become `\u{..}`; nothing at all becomes `-`.
fn escape(value: &str, buffer: &mut Vec<u8>) {
    if value.is_empty() {
        buffer.push(b'-');
    }
    for character in value.chars() {
        if character.is_ascii_graphic() && !matches!(character, '"' | '=' | '\\') {
            // A graphic ASCII character is one byte.
            buffer.extend(u8::try_from(character));
        } else if character.is_alphanumeric() {
            buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            buffer.extend(character.escape_unicode().map(|escaped| u8::try_from(escaped).unwrap_or(b'?')));
        }
    }
}

fn before_query(path: &str) -> &str {
    path.bytes().position(|byte| matches!(byte, b'?' | b'#')).map_or(path, |end| &path[..end])
}

fn cut(value: &str) -> &str {
    if value.len() <= LONGEST {
        return value;
    }
    let end = (0..=LONGEST).rev().find(|&end| value.is_char_boundary(end)).unwrap_or_default();
    &value[..end]
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests;
