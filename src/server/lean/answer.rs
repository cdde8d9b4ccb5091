//! An answer as it is written: its head, and how its body is framed.
//!
//! The framing is ours alone: what a handler says of it in the head is taken for the length of a body that does not
//! know its own, or left out. Called by `server::lean`.

use std::io::Write as _;

use http_body::Body as _;
use hyper::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, TRAILER, TRANSFER_ENCODING};
use hyper::{HeaderMap, StatusCode, header};

use super::head::{Asked, lists};
use crate::http::Body;
use crate::http::arrival::Outline;
use crate::http::fields::Fields;
use crate::http::strict::{digits, text};

/// How many bytes a line of a head has, more or less.
const LINE: usize = 48;

/// What goes over the wire of a body from here on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// Chunks, and at their end such of these trailers as there are.
    Chunks(Option<Vec<HeaderName>>),
}

/// What becomes of a connection after its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Afterwards {
    Keep,
    Close,
}

/// A head that must not be written: it contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contradiction;

/// Appends an answer's head.
pub(super) fn write_head(
    head: &Outline,
    body: &Body,
    asked: Asked,
    wished: Afterwards,
    date: &[u8],
    to: &mut Vec<u8>,
) -> Result<(Left, Afterwards), Contradiction> {
    let status = head.status;
    if status.is_informational() {
        return Err(Contradiction);
    }
    let fields = head.fields();
    to.reserve((LINE * (fields.count() + 3)).next_power_of_two());
    write_status(head, to);
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mute = bodiless || asked.head_only;
    let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    let mut afterwards = wished;
    let mut announced = None;
    let mut trailers = None;
    let mut dated = false;
    let mut connected = false;
    for field in fields {
        // Nearly every field is of another length, or begins with another letter.
        match field.outline() {
            (14, b'c') if field.is("content-length") => {
                let said = digits(field.value());
                // For HEAD and for a body that does not know: what the handler says.
                let known = if asked.head_only { said.or(length) } else { length.or(said) }.ok_or(Contradiction)?;
                if announced.is_some_and(|before| before != known) {
                    return Err(Contradiction);
                }
                let fits = if asked.head_only { status != StatusCode::NO_CONTENT } else { !bodiless && known > 0 };
                if fits && announced.replace(known).is_none() {
                    if said == Some(known) { field.write(to) } else { write_length(known, to) }
                }
                continue;
            }
            (17, b't') if field.is("transfer-encoding") => continue,
            (10, b'c') if field.is("connection") => {
                if !std::mem::replace(&mut connected, true) {
                    afterwards = write_connection(fields, afterwards, to);
                }
                continue;
            }
            (7, b't') if field.is("trailer") => {
                if !mute && trailers.is_none() {
                    trailers = Some(write_trailer(fields, to));
                }
                continue;
            }
            (4, b'd') if field.is("date") => dated = true,
            _ => {}
        }
        field.write(to);
    }
    if afterwards == Afterwards::Close && !connected {
        to.extend_from_slice(b"connection: close\r\n");
    }
    let left = match (announced, length) {
        _ if mute && announced.is_none() => {
            if let (true, Some(length @ 1..)) = (asked.head_only && !bodiless, length) {
                write_length(length, to);
            }
            Left::Nothing
        }
        _ if mute => Left::Nothing,
        (Some(length), _) => Left::Length(length),
        (None, Some(length)) => {
            write_length(length, to);
            if length == 0 { Left::Nothing } else { Left::Length(length) }
        }
        (None, None) => {
            to.extend_from_slice(b"transfer-encoding: chunked\r\n");
            Left::Chunks(trailers.filter(|_| asked.trailers))
        }
    };
    if !dated {
        write_field(&DATE, date, to);
    }
    to.extend_from_slice(b"\r\n");
    Ok((left, afterwards))
}

fn write_status(head: &Outline, to: &mut Vec<u8>) {
    let reason = head.reason();
    if head.status == StatusCode::OK && reason.is_none() {
        return to.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    let canonical = || head.status.canonical_reason().unwrap_or("<none>").as_bytes();
    to.extend_from_slice(b"HTTP/1.1 ");
    to.extend_from_slice(head.status.as_str().as_bytes());
    to.push(b' ');
    to.extend_from_slice(reason.map_or_else(canonical, hyper::ext::ReasonPhrase::as_bytes));
    to.extend_from_slice(b"\r\n");
}

/// Appends a line. Its types allow neither a line's end nor anything else that is none of a field.
fn write_field(name: &HeaderName, value: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(name.as_str().as_bytes());
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

fn write_length(length: u64, to: &mut Vec<u8>) {
    // Into memory: it cannot fail.
    let _ = write!(to, "content-length: {length}\r\n");
}

/// Appends what a handler says of the connection, in one line.
fn write_connection(fields: Fields<'_>, wished: Afterwards, to: &mut Vec<u8>) -> Afterwards {
    let lines: Vec<&[u8]> = fields.values(&CONNECTION).collect();
    write_list(&CONNECTION, &lines, to);
    let closes = lines.iter().any(|value| lists(value, "close"));
    if wished == Afterwards::Close && !closes {
        to.extend_from_slice(b", close");
    }
    to.extend_from_slice(b"\r\n");
    if closes { Afterwards::Close } else { wished }
}

/// Appends the names of the trailers that are announced.
fn write_trailer(fields: Fields<'_>, to: &mut Vec<u8>) -> Vec<HeaderName> {
    let lines: Vec<&[u8]> = fields.values(&TRAILER).collect();
    write_list(&TRAILER, &lines, to);
    to.extend_from_slice(b"\r\n");
    let lines = lines.into_iter().filter_map(text);
    lines.flat_map(|line| line.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// Appends the lines of one name as one, without its end.
fn write_list(name: &HeaderName, values: &[&[u8]], to: &mut Vec<u8>) {
    to.extend_from_slice(name.as_str().as_bytes());
    let mut between = ": ";
    for value in values {
        to.extend_from_slice(between.as_bytes());
        to.extend_from_slice(value);
        between = ", ";
    }
}

/// Appends the last chunk, with those trailers that were announced and may be such (RFC 9110 section 6.5.1).
pub(super) fn write_end(trailers: Option<&HeaderMap>, announced: Option<&[HeaderName]>, to: &mut Vec<u8>) {
    to.extend_from_slice(b"0\r\n");
    let fits = |name: &HeaderName| {
        announced.is_some_and(|announced| announced.contains(name)) && !BELONG_TO_HEADS.contains(name)
    };
    for (name, value) in trailers.into_iter().flatten().filter(|(name, _)| fits(name)) {
        write_field(name, value.as_bytes(), to);
    }
    to.extend_from_slice(b"\r\n");
}

/// What is read before a body is, or not at all.
pub(in crate::server) const BELONG_TO_HEADS: [HeaderName; 13] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    CONNECTION,
    header::CONTENT_ENCODING,
    CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::HOST,
    header::MAX_FORWARDS,
    header::SET_COOKIE,
    header::TE,
    TRAILER,
    TRANSFER_ENCODING,
];

/// Appends what a chunk begins with.
pub(super) fn write_chunk_size(length: usize, to: &mut Vec<u8>) {
    // Into memory: it cannot fail.
    let _ = write!(to, "{length:X}\r\n");
}
