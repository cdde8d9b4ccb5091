//! The chunked coding (RFC 9112 section 7.1), read strictly.
//!
//! Sizes are hexadecimal digits and nothing else, lines end with CRLF, and what may be long (extensions, trailers)
//! is bounded. Nothing is collected but trailers: data are slices of what was received. Called by the lean
//! readers of `proxy`, for answers, and `server`, for where requests end.

use bytes::{Buf, Bytes};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// How many digits a size may have: as many as fit into 64 bits.
const DIGITS: u8 = 16;

/// How many bytes of extensions a body may have, all in all. Nobody reads them.
const EXTENSIONS: usize = 8 * 1024;

/// How many bytes of trailers a body may have.
const TRAILERS: usize = 16 * 1024;

/// How many trailers a body may have.
const TRAILER_FIELDS: usize = 64;

/// What is wrong with a body in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not hexadecimal digits alone, or too many.
    #[error("a chunk has no valid size")]
    Size,
    /// Too many bytes or a forbidden one.
    #[error("the chunk extensions are too long or malformed")]
    Extension,
    /// A chunk's line or data that do not end with CRLF.
    #[error("a chunk does not end where it should")]
    End,
    /// Too long or malformed.
    #[error("the trailers are too long or malformed")]
    Trailers,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Data of the chunk, of which some are at hand.
    Data,
    /// Nothing: the body is at its end.
    End,
    /// More has to be received first.
    More,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
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
    Broken(Malformed),
}

/// Where in a body a reader is.
#[derive(Debug, Default)]
pub struct Chunks {
    state: State,
    digits: u8,
    /// What is left of this chunk.
    size: u64,
    extensions: usize,
    trailers: Vec<u8>,
}

impl Chunks {
    /// Whether the body has come to its end.
    pub fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// Reads what stands between data.
    ///
    /// # Errors
    /// [`Malformed`], and ever after.
    pub fn advance(&mut self, unread: &mut Bytes) -> Result<Next, Malformed> {
        let mut read = 0;
        let next = loop {
            match self.state {
                State::Broken(malformed) => return Err(malformed),
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

    /// Passes over what was received, data included: how much of it belongs to the body.
    ///
    /// # Errors
    /// [`Malformed`], and ever after.
    pub fn pass(&mut self, received: &[u8]) -> Result<usize, Malformed> {
        let mut read = 0;
        loop {
            match self.state {
                State::Broken(malformed) => return Err(malformed),
                State::End => return Ok(read),
                State::Data if read < received.len() => {
                    let rest = received.len() - read;
                    let length = usize::try_from(self.size).map_or(rest, |size| size.min(rest));
                    self.size -= length as u64;
                    if self.size == 0 {
                        self.state = State::DataReturn;
                    }
                    read += length;
                }
                _ => {
                    let Some(byte) = received.get(read) else { return Ok(read) };
                    self.state = self.step(*byte).unwrap_or_else(State::Broken);
                    read += 1;
                }
            }
        }
    }

    /// Takes what is at hand of a chunk's data.
    pub fn take(&mut self, unread: &mut Bytes) -> Bytes {
        let length = usize::try_from(self.size).map_or(unread.len(), |size| size.min(unread.len()));
        self.size -= length as u64;
        if self.size == 0 {
            self.state = State::DataReturn;
        }
        unread.split_to(length)
    }

    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        Ok(match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => State::SizeLineFeed,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Size, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed::Size)?;
                if self.digits == DIGITS {
                    return Err(Malformed::Size);
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
            (State::Extension, _) => return Err(Malformed::Extension),
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
            (State::TrailerStart | State::Trailer, _) => return Err(Malformed::Trailers),
            (State::TrailerLineFeed, b'\n') => {
                self.trailers.extend_from_slice(b"\r\n");
                State::TrailerStart
            }
            (State::EndLineFeed, b'\n') => State::End,
            // Also a chunk that is longer than it said.
            _ => return Err(Malformed::End),
        })
    }

    /// The trailers that the body ended with, once.
    ///
    /// # Errors
    /// When they are none.
    pub fn trailers(&mut self) -> Result<Option<HeaderMap>, Malformed> {
        if self.trailers.is_empty() {
            return Ok(None);
        }
        self.trailers.extend_from_slice(b"\r\n");
        let received = Bytes::from(std::mem::take(&mut self.trailers));
        let mut space = [httparse::EMPTY_HEADER; TRAILER_FIELDS];
        let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(&received, &mut space) else {
            return Err(Malformed::Trailers);
        };
        let mut trailers = HeaderMap::with_capacity(fields.len());
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed::Trailers)?;
            let value = HeaderValue::from_maybe_shared(received.slice_ref(field.value));
            trailers.append(name, value.map_err(|_| Malformed::Trailers)?);
        }
        Ok(Some(trailers))
    }

    /// Whether trailers were received and not yet asked for.
    pub fn has_trailers(&self) -> bool {
        !self.trailers.is_empty()
    }
}

/// What a line may be made of (RFC 9110 section 5.5): no control character but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_where_it_ends_however_it_is_cut() {
        let body = b"5;a=b\r\nhello\r\n00c\r\n0\r\n\r\n world!\r\n0\r\nX-Sum: 1\r\n\r\n";
        let wire = [&body[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        for cut in 0..wire.len() {
            let (first, second) = wire.split_at(cut);
            let mut chunks = Chunks::default();
            let read = chunks.pass(first).unwrap();
            assert_eq!(read, cut.min(body.len()));
            assert_eq!(read + chunks.pass(second).unwrap(), body.len());
            assert!(chunks.is_at_end());
            assert_eq!(chunks.pass(&wire), Ok(0));
        }
    }

    #[test]
    fn what_is_malformed_has_no_end() {
        for (body, malformed) in [
            ("5\r\nhello!\r\n0\r\n\r\n", Malformed::End),
            ("5 \r\nhello\r\n0\r\n\r\n", Malformed::Size),
            ("5;\n\r\nhello\r\n0\r\n\r\n", Malformed::Extension),
            ("0\r\nX: y\n\r\n", Malformed::Trailers),
        ] {
            let mut chunks = Chunks::default();
            assert_eq!(chunks.pass(body.as_bytes()), Err(malformed), "{body:?}");
            assert_eq!(chunks.pass(b"0\r\n\r\n"), Err(malformed), "{body:?}");
        }
    }
}
