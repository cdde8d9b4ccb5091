//! The chunked coding (RFC 9112 section 7.1), read strictly.
//!
//! Sizes are hexadecimal digits and nothing else, lines end with CRLF, and what may be long (extensions, trailers)
//! is bounded. Nothing is collected but trailers: data are slices of what was received. Called by `lean::body`.

use bytes::{Buf, Bytes};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::Violation;

/// How many digits a size may have: as many as fit into 64 bits.
const DIGITS: u8 = 16;

/// How many bytes of extensions a body may have, all in all. Nobody reads them.
const EXTENSIONS: usize = 8 * 1024;

/// How many bytes of trailers a body may have.
const TRAILERS: usize = 16 * 1024;

/// How many trailers a body may have.
const TRAILER_FIELDS: usize = 64;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Data of the chunk, of which some are at hand.
    Data,
    /// Nothing: the body is at its end.
    End,
    /// More has to be received first.
    More,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    TrailerStart,
    Trailer,
    TrailerLineFeed,
    EndLineFeed,
    End,
    /// For good: what follows is not read in another way.
    Broken(Violation),
}

/// Where in a body a reader is.
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    digits: u8,
    /// What is left of this chunk.
    size: u64,
    extensions: usize,
    trailers: Vec<u8>,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { state: State::Size, digits: 0, size: 0, extensions: 0, trailers: Vec::new() }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// Reads what stands between data.
    pub(super) fn advance(&mut self, unread: &mut Bytes) -> Result<Next, Violation> {
        let mut read = 0;
        let next = loop {
            match self.state {
                State::Broken(violation) => return Err(violation),
                State::End => break Next::End,
                State::Data if read < unread.len() => break Next::Data,
                _ => {}
            }
            let Some(byte) = unread.get(read) else { break Next::More };
            self.state = self.step(*byte).unwrap_or_else(State::Broken);
            read += 1;
        };
        unread.advance(read);
        Ok(next)
    }

    /// Takes what is at hand of a chunk's data.
    pub(super) fn take(&mut self, unread: &mut Bytes) -> Bytes {
        let length = usize::try_from(self.size).map_or(unread.len(), |size| size.min(unread.len()));
        self.size -= length as u64;
        if self.size == 0 {
            self.state = State::DataReturn;
        }
        unread.split_to(length)
    }

    fn step(&mut self, byte: u8) -> Result<State, Violation> {
        Ok(match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => State::SizeLineFeed,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Size, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Violation::ChunkSize)?;
                if self.digits == DIGITS {
                    return Err(Violation::ChunkSize);
                }
                self.digits += 1;
                self.size = self.size << 4 | u64::from(digit);
                State::Size
            }
            (State::Extension, b'\r') => State::SizeLineFeed,
            (State::Extension, byte) if is_text(byte) && self.extensions < EXTENSIONS => {
                self.extensions += 1;
                State::Extension
            }
            (State::Extension, _) => return Err(Violation::ChunkExtension),
            (State::SizeLineFeed, b'\n') => {
                self.digits = 0;
                if self.size == 0 { State::TrailerStart } else { State::Data }
            }
            (State::DataReturn, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => State::Size,
            (State::TrailerStart, b'\r') => State::EndLineFeed,
            (State::Trailer, b'\r') => State::TrailerLineFeed,
            (State::TrailerStart | State::Trailer, byte) if is_text(byte) && self.trailers.len() < TRAILERS => {
                self.trailers.push(byte);
                State::Trailer
            }
            (State::TrailerStart | State::Trailer, _) => return Err(Violation::Trailers),
            (State::TrailerLineFeed, b'\n') => {
                self.trailers.extend_from_slice(b"\r\n");
                State::TrailerStart
            }
            (State::EndLineFeed, b'\n') => State::End,
            // Also a chunk that is longer than it said.
            _ => return Err(Violation::ChunkEnd),
        })
    }

    /// The trailers that the body ended with, once.
    pub(super) fn trailers(&mut self) -> Result<Option<HeaderMap>, Violation> {
        if self.trailers.is_empty() {
            return Ok(None);
        }
        self.trailers.extend_from_slice(b"\r\n");
        let received = Bytes::from(std::mem::take(&mut self.trailers));
        let mut space = [httparse::EMPTY_HEADER; TRAILER_FIELDS];
        let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(&received, &mut space) else {
            return Err(Violation::Trailers);
        };
        let mut trailers = HeaderMap::with_capacity(fields.len());
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Violation::Trailers)?;
            let value = HeaderValue::from_maybe_shared(received.slice_ref(field.value));
            trailers.append(name, value.map_err(|_| Violation::Trailers)?);
        }
        Ok(Some(trailers))
    }

    /// Whether trailers were received and not yet asked for.
    pub(super) fn has_trailers(&self) -> bool {
        !self.trailers.is_empty()
    }
}

/// What a line may be made of (RFC 9110 section 5.5): no control character but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}
