//! A request's head: read strictly, and told apart by whether it is all that the request is.
//!
//! A head that two readers could take for two different requests is refused here, whoever answers the others: what
//! hyper is given has been through this as well. Called by `server::lean`.

use std::mem::MaybeUninit;

use bytes::Bytes;
use hyper::{Method, StatusCode, Uri};

use crate::http::Arrival;
use crate::http::fields::Received;
use crate::http::names::is_same;
use crate::http::strict::{digits, has_bare_line_feed, text};

/// For how many fields there is room on the stack.
const FIELDS: usize = 100;

/// The longest target, as hyper's is.
const LONGEST_TARGET: usize = u16::MAX as usize - 1;

/// Why a head is refused, and its connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It cannot be parsed.
    #[error("the head is malformed ({0})")]
    Malformed(httparse::Error),
    /// A line that ends with LF alone.
    #[error("a line of the head does not end with CR LF")]
    LineEnd,
    /// No target.
    #[error("the target is malformed")]
    Target,
    /// A field that is none.
    #[error("a field has a forbidden character")]
    Field,
    /// A target beyond 64 KiB.
    #[error("the target is too long")]
    TargetTooLong,
    /// Too many bytes or fields.
    #[error("the head is too large")]
    TooLarge,
    /// `Content-Length` beside `Transfer-Encoding`, which "ought to be handled as an error" (RFC 9112 section 6.3).
    #[error("the body has both a length and a coding")]
    LengthAndCoding,
    /// Several `Content-Length` lines, whatever they say.
    #[error("the Content-Length is given more than once")]
    RepeatedLength,
    /// A `Content-Length` that is not one number of bytes.
    #[error("the Content-Length is not digits alone, or beyond all bounds")]
    Length,
    /// A `Transfer-Encoding` that is not one `chunked`, or any of HTTP/1.0.
    #[error("the Transfer-Encoding is not chunked alone, or of HTTP/1.0")]
    Coding,
}

impl Violation {
    /// What the client is told.
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In bytes.
    pub size: usize,
    /// In fields.
    pub fields: usize,
}

/// What a request asks of its answer's form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// For the head alone.
    pub head_only: bool,
    /// To close the connection afterwards.
    pub close: bool,
    /// To have trailers.
    pub trailers: bool,
}

/// What the bytes that were received begin with.
#[derive(Debug)]
pub enum Read {
    /// A head that is not all there.
    Part,
    /// A request that is nothing but this head of so many bytes.
    Plain(usize, Arrival, Asked),
    /// A head that is well-formed, of a request that is more: hyper's.
    Foreign(End),
}

/// Where a request ends, counted from the beginning of its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After so many bytes.
    After(u64),
    /// After so many bytes and the last chunk.
    Chunks(u64),
    /// That is not said: nothing behind its head of so many bytes is ever read.
    Unknown(u64),
}

/// Reads a head.
///
/// # Errors
/// [`Violation`]; nothing behind it may be read.
pub fn read(received: &Bytes, bounds: Bounds) -> Result<Read, Violation> {
    if bounds.fields <= FIELDS {
        let mut space = [const { MaybeUninit::uninit() }; FIELDS];
        read_into(received, bounds, space.get_mut(..bounds.fields).unwrap_or_default())
    } else {
        read_into(received, bounds, &mut vec![MaybeUninit::uninit(); bounds.fields])
    }
}

fn read_into<'a>(
    received: &'a Bytes,
    bounds: Bounds,
    space: &mut [MaybeUninit<httparse::Header<'a>>],
) -> Result<Read, Violation> {
    let mut parsed = httparse::Request::new(&mut []);
    let status = httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut parsed, received, space);
    let length = match status {
        Ok(httparse::Status::Complete(length)) if length <= bounds.size => length,
        Ok(httparse::Status::Partial) if received.len() < bounds.size => {
            return if has_bare_line_feed(received) { Err(Violation::LineEnd) } else { Ok(Read::Part) };
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Violation::TooLarge),
        Err(cause) => return Err(Violation::Malformed(cause)),
    };
    if has_bare_line_feed(received.get(..length).unwrap_or(received)) {
        return Err(Violation::LineEnd);
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Violation::Malformed(httparse::Error::Token));
    };
    if target.len() > LONGEST_TARGET {
        return Err(Violation::TargetTooLong);
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Violation::Malformed(httparse::Error::Token))?;
    if method == Method::CONNECT {
        // Behind it there is no body, but what may become a tunnel.
        return end(length as u64, minor, parsed.headers).map(|_| Read::Foreign(End::Unknown(length as u64)));
    }
    let asked = match extent(&method, parsed.headers)? {
        Extent::Head(asked) if minor == 1 => asked,
        _ => return end(length as u64, minor, parsed.headers).map(Read::Foreign),
    };
    let target = received.slice_ref(target.as_bytes());
    let target = Uri::from_maybe_shared(target).map_err(|_| Violation::Target)?;
    let lines = Received::of(received, parsed.headers).map_err(|_| Violation::Field)?;
    Ok(Read::Plain(length, Arrival::plain(method, target, lines), asked))
}

/// How much of a request its head is.
enum Extent {
    /// All of it; this is what it asks of its answer's form.
    Head(Asked),
    /// There is more, or might be.
    More,
}

fn extent(method: &Method, fields: &[httparse::Header<'_>]) -> Result<Extent, Violation> {
    let mut asked = Asked { head_only: *method == Method::HEAD, ..Asked::default() };
    let (mut lengths, mut more) = (0, false);
    for httparse::Header { name, value } in fields {
        let is = |ours: &str| is_same(name.as_bytes(), ours.as_bytes());
        // Nearly every field is of another length.
        match name.len() {
            2 if is("te") => asked.trailers |= lists(value, "trailers"),
            6 => more |= is("expect"),
            7 => more |= is("upgrade"),
            10 if is("connection") => asked.close |= lists(value, "close"),
            14 if is("content-length") => {
                lengths += 1;
                more |= *value != b"0";
            }
            17 => more |= is("transfer-encoding"),
            _ => {}
        }
    }
    match (more, lengths) {
        (true, _) => Ok(Extent::More),
        (false, 2..) => Err(Violation::RepeatedLength),
        (false, _) => Ok(Extent::Head(asked)),
    }
}

/// Whether it is time to look at a head again of which so much was looked at.
pub(super) fn may_be_whole(received: &[u8], seen: usize, bounds: Bounds) -> bool {
    let from = |at: usize| received.get(at..).unwrap_or_default();
    // What was before the line feed that was seen last was looked at with it.
    let lines = from(seen - 1).strip_prefix(b"\n").unwrap_or(from(seen - 1));
    received.len() >= bounds.size
        || from(seen.saturating_sub(3)).windows(4).any(|four| four == b"\r\n\r\n")
        || has_bare_line_feed(lines)
}

/// Where a request ends whose head is so long. What the fields say of it differently is refused rather than weighed: a
/// reader behind us may weigh otherwise.
fn end(head: u64, minor: u8, fields: &[httparse::Header<'_>]) -> Result<End, Violation> {
    let named = |name: &'static str| {
        let mut values = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        (values.next().map(|field| field.value), values.next().is_some())
    };
    match (named("transfer-encoding"), named("content-length")) {
        ((Some(_), _), (Some(_), _)) => Err(Violation::LengthAndCoding),
        ((Some(coding), false), _) if minor == 1 && coding.eq_ignore_ascii_case(b"chunked") => Ok(End::Chunks(head)),
        ((Some(_), _), _) => Err(Violation::Coding),
        (_, (_, true)) => Err(Violation::RepeatedLength),
        (_, (None, _)) => Ok(End::After(head)),
        (_, (Some(length), _)) => {
            digits(length).and_then(|body| head.checked_add(body)).map(End::After).ok_or(Violation::Length)
        }
    }
}

/// Whether a list has this element. One with other than visible characters has none, for hyper either.
pub(super) fn lists(value: &[u8], element: &str) -> bool {
    text(value).is_some_and(|list| list.split(',').any(|entry| entry.trim().eq_ignore_ascii_case(element)))
}
