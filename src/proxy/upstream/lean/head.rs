//! Heads: a request's as it is written, an answer's as it is read.
//!
//! What is read decides where an answer ends, and with that whose the bytes behind it are: on a kept connection the
//! next person's. So a head with two readings is refused, also where RFC 9112 section 6.3 knows a way to go on, and
//! after an answer whose sender may have framed it differently the connection is closed. Called by `lean` and by
//! `checked`.

use std::mem::MaybeUninit;

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::{HeaderMap, Method, StatusCode};

use super::Violation;
use crate::http::fields::Received;
use crate::http::names::is_same;
use crate::http::strict::{digits, has_bare_line_feed};
use crate::http::{Body, Request};
use crate::proxy::outgoing::Outgoing;

/// How many fields an answer may have; as many as hyper allows.
const FIELDS: usize = 100;

/// How long an answer's head may be.
pub(in crate::proxy::upstream) const LONGEST: usize = 64 * 1024;

/// Whether a request is nothing but a head: no body, none announced, no upgrade.
pub fn is_plain(request: &Request) -> bool {
    let fits = |(name, value): (&HeaderName, &HeaderValue)| {
        // A length that no body follows would make the app wait for it, and take the next request for it.
        if *name == CONTENT_LENGTH { value == "0" } else { *name != TRANSFER_ENCODING && *name != UPGRADE }
    };
    matches!(request.body(), Body::Empty) && *request.method() != Method::CONNECT && request.headers().iter().all(fits)
}

/// Writes a request's head. Its types allow neither a line's end nor a space where there must be none.
pub(super) fn write(request: &Outgoing<'_>, to: &mut Vec<u8>) {
    to.clear();
    for part in [request.method().as_str(), " ", request.target(), " HTTP/1.1\r\n"] {
        to.extend_from_slice(part.as_bytes());
    }
    request.write_fields(to);
    to.extend_from_slice(b"\r\n");
}

/// How far an answer's body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy::upstream) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// To the connection's end.
    UntilClose,
}

/// What becomes of a connection once its answer has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy::upstream) enum Afterwards {
    /// The next request may use it.
    Keep,
    /// It is closed: the app wishes so, or what follows might not be what it seems.
    Close,
}

/// A head that came to its end.
#[derive(Debug)]
pub(in crate::proxy::upstream) struct Head {
    pub(in crate::proxy::upstream) length: usize,
    pub(super) status: StatusCode,
    pub(super) lines: Received,
    pub(in crate::proxy::upstream) framing: Framing,
    pub(in crate::proxy::upstream) afterwards: Afterwards,
}

/// What the bytes that were received begin with.
#[derive(Debug)]
pub(in crate::proxy::upstream) enum Read {
    /// A head that is not all there.
    Part,
    /// An interim answer (RFC 9110 section 15.2) of so many bytes; another head follows.
    Interim(usize, StatusCode, HeaderMap),
    /// A 101 of so many bytes; another protocol follows.
    Switched(usize),
    /// The answer's head.
    Whole(Head),
}

/// Reads a head.
pub(in crate::proxy::upstream) fn read(received: &Bytes, asked: &Method) -> Result<Read, Violation> {
    // RFC 9112 section 2.2 has servers skip empty lines, not clients: here they are what is left of something else.
    if received.first().is_some_and(|byte| *byte != b'H') {
        return Err(Violation::NotHttp);
    }
    let mut space = [const { MaybeUninit::uninit() }; FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let status =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, received, &mut space);
    let length = match status {
        Ok(httparse::Status::Complete(length)) if length <= LONGEST => length,
        Ok(httparse::Status::Partial) if received.len() < LONGEST => return Ok(Read::Part),
        Ok(_) => return Err(Violation::HeadTooLong),
        Err(httparse::Error::TooManyHeaders) => return Err(Violation::TooManyFields),
        Err(cause) => return Err(Violation::Head(cause)),
    };
    if has_bare_line_feed(&received[..length]) {
        return Err(Violation::LineEnd);
    }
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else { return Err(Violation::NotHttp) };
    let status = StatusCode::from_u16(code).map_err(|_| Violation::Status)?;
    let mut framing = Framed { minor, ..Framed::default() };
    for field in parsed.headers.iter() {
        framing.note(field.name, field.value)?;
    }
    let lines = Received::of(received, parsed.headers).map_err(|_| Violation::Field)?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Read::Switched(length));
    }
    if status.is_informational() {
        if framing.announces_a_body() {
            return Err(Violation::InterimBody);
        }
        return Ok(Read::Interim(length, status, lines.map()));
    }
    let (framing, afterwards) = framing.of(status, asked);
    Ok(Read::Whole(Head { length, status, lines, framing, afterwards }))
}

/// What a head says of where its message ends.
#[derive(Default)]
struct Framed {
    minor: u8,
    length: Option<u64>,
    coding: Option<Chunked>,
    closes: bool,
}

/// The one transfer coding that is known here.
struct Chunked;

impl Framed {
    fn note(&mut self, name: &str, value: &[u8]) -> Result<(), Violation> {
        let is = |ours: &str| is_same(name.as_bytes(), ours.as_bytes());
        // Nearly every field is of another length.
        match name.len() {
            14 if is("content-length") => {
                if self.length.is_some() {
                    return Err(Violation::RepeatedLength);
                }
                self.length = Some(digits(value).ok_or(Violation::Length)?);
            }
            17 if is("transfer-encoding") => {
                // "A server MUST NOT send a response containing Transfer-Encoding unless the corresponding request
                // indicates HTTP/1.1": one in HTTP/1.0 is to be treated "as if the framing is faulty" (section 6.1).
                if self.minor == 0 || self.coding.is_some() || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Violation::TransferCoding);
                }
                self.coding = Some(Chunked);
            }
            10 if is("connection") => {
                let options = value.split(|byte| *byte == b',');
                self.closes |= options.into_iter().any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
            }
            _ => return Ok(()),
        }
        // Section 6.3: "might indicate an attempt to perform request smuggling or response splitting".
        if self.length.is_some() && self.coding.is_some() { Err(Violation::TwoLengths) } else { Ok(()) }
    }

    fn announces_a_body(&self) -> bool {
        self.coding.is_some() || self.length.is_some_and(|length| length > 0)
    }

    /// RFC 9112 section 6.3.
    fn of(&self, status: StatusCode, asked: &Method) -> (Framing, Afterwards) {
        // One that offers to keep an HTTP/1.0 connection is not taken at its word: the offer was made up by each
        // server for itself, and proxies are where it goes wrong (appendix C.2.2).
        let polite = if self.closes || self.minor == 0 { Afterwards::Close } else { Afterwards::Keep };
        // Apps that send the body although there must be none do so a moment later, when the next person's request
        // is on its way already: what they announced and must not send is not waited for.
        let wary = if self.announces_a_body() { Afterwards::Close } else { polite };
        if *asked == Method::HEAD {
            let settled = if self.length == Some(0) { polite } else { Afterwards::Close };
            return (Framing::None, settled);
        }
        match status {
            StatusCode::NO_CONTENT => (Framing::None, wary),
            // Its Content-Length is that of the answer that it stands for (RFC 9110 section 15.4.5).
            StatusCode::NOT_MODIFIED if self.coding.is_some() => (Framing::None, Afterwards::Close),
            StatusCode::NOT_MODIFIED => (Framing::None, polite),
            _ if self.coding.is_some() => (Framing::Chunked, polite),
            _ => match self.length {
                Some(0) => (Framing::None, polite),
                Some(length) => (Framing::Length(length), polite),
                None => (Framing::UntilClose, Afterwards::Close),
            },
        }
    }
}
