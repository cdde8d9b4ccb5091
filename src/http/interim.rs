//! Interim answers (1xx, RFC 9110 section 15.2): from whoever asks an app to the door that its client came in by.
//!
//! "A proxy MUST forward 1xx responses unless the proxy itself requested the generation of the 1xx response." They
//! come while a request's handler still waits for the answer itself, so the door hands it a [`Sender`] with the
//! request's peer and looks into the [`Outlet`] whenever the handler has had its turn. Nothing wakes the
//! door: an interim answer is sent from within the handler's own future. The other way the door tells that its client
//! has ended its side of the connection, and lets the handler have a turn. Used by `server` and `proxy`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::{HeaderMap, StatusCode};

/// How many interim answers one request may have. More are dropped.
const MOST: usize = 64;

/// How many bytes may wait for a client that does not take them. What is beyond is dropped, whole heads at a time.
pub const LARGEST: usize = 64 * 1024;

/// About as long is a head without fields.
const LINE: usize = 32;

/// One of them.
#[derive(Debug)]
pub struct Head {
    /// Neither 100 nor 101.
    pub status: StatusCode,
    /// Cleaned by whoever sends it.
    pub fields: HeaderMap,
}

/// What waits to be written before the answer to a request: on a connection, or on a stream where they are many.
#[derive(Debug, Default)]
pub struct Outlet {
    /// Which request is served: odd while one is.
    turn: AtomicU64,
    has_waiting: AtomicBool,
    waiting: Mutex<Waiting>,
    /// Behind the request that is served nothing more comes, and its client waits.
    has_ended: AtomicBool,
}

#[derive(Debug, Default)]
struct Waiting {
    turn: u64,
    count: usize,
    size: usize,
    heads: Vec<Head>,
}

/// No request's turn.
const NOBODYS: u64 = u64::MAX;

/// Sends interim answers to one request, until its answer begins.
#[derive(Clone, Debug)]
pub struct Sender {
    outlet: Arc<Outlet>,
    turn: u64,
}

impl Outlet {
    /// A request has begun: what was left for another one is dropped.
    pub fn open(self: &Arc<Self>) -> Sender {
        let turn = (self.turn.load(Ordering::Acquire) + 1) | 1;
        self.turn.store(turn, Ordering::Release);
        Sender { outlet: Arc::clone(self), turn }
    }

    /// The same for a client that takes no interim answers: none is sent.
    pub fn open_mute(self: &Arc<Self>) -> Sender {
        Sender { outlet: Arc::clone(self), turn: NOBODYS }
    }

    /// The client has ended its side, and waits for its answer.
    pub fn note_end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }

    /// Whether it has.
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Its answer begins: nothing may be written before it any more.
    pub fn close(&self) {
        let turn = self.turn.load(Ordering::Acquire);
        self.turn.store(turn + turn % 2, Ordering::Release);
        self.has_waiting.store(false, Ordering::Release);
    }

    /// Whether there is anything to write.
    pub fn has_waiting(&self) -> bool {
        self.has_waiting.load(Ordering::Acquire)
    }

    /// What is to be written now.
    pub fn take(&self) -> Vec<Head> {
        let mut waiting = self.lock();
        self.has_waiting.store(false, Ordering::Release);
        waiting.size = 0;
        let heads = std::mem::take(&mut waiting.heads);
        if waiting.turn == self.turn.load(Ordering::Acquire) { heads } else { Vec::new() }
    }

    /// The same as HTTP/1.1 has it.
    pub fn write(&self, to: &mut Vec<u8>) {
        self.take().iter().for_each(|head| head.write(to));
    }

    /// A panic elsewhere leaves whole heads.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender {
    /// Sends one to the client. A 100 is this connection's own matter and a 101 ends HTTP on it: both are dropped,
    /// and so is what comes when the answer has begun.
    pub fn send(&self, status: StatusCode, fields: HeaderMap) {
        if !is_passed_on(status) {
            return;
        }
        let mut waiting = self.outlet.lock();
        if self.outlet.turn.load(Ordering::Acquire) != self.turn {
            return;
        }
        if waiting.turn != self.turn {
            *waiting = Waiting { turn: self.turn, ..Waiting::default() };
        }
        let head = Head { status, fields };
        let size = waiting.size + head.size();
        if waiting.count >= MOST || size > LARGEST {
            return;
        }
        waiting.heads.push(head);
        waiting.size = size;
        waiting.count += 1;
        self.outlet.has_waiting.store(true, Ordering::Release);
    }

    /// Whether the client has ended its side of the connection.
    pub fn has_ended(&self) -> bool {
        self.outlet.has_ended()
    }

    /// Whether the client was sent any: it would be confused by those of another attempt.
    pub fn has_sent(&self) -> bool {
        let waiting = self.outlet.lock();
        waiting.turn == self.turn && waiting.count > 0
    }
}

/// Whether an interim answer is the client's: not the 100 that was asked for with `Expect`, which each connection
/// answers for itself, and not the 101 that is one only by its number.
pub fn is_passed_on(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::CONTINUE && status != StatusCode::SWITCHING_PROTOCOLS
}

impl Head {
    /// About how many bytes it is.
    pub fn size(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
        fields.sum::<usize>() + LINE
    }

    /// Its types allow neither a line's end nor a space where there must be none.
    fn write(&self, to: &mut Vec<u8>) {
        let reason = self.status.canonical_reason().unwrap_or_default();
        for part in ["HTTP/1.1 ", self.status.as_str(), " ", reason, "\r\n"] {
            to.extend_from_slice(part.as_bytes());
        }
        for (name, value) in &self.fields {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                to.extend_from_slice(part);
            }
        }
        to.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderValue, LINK};

    fn link(to: &str) -> HeaderMap {
        HeaderMap::from_iter([(LINK, HeaderValue::from_str(to).unwrap())])
    }

    fn written(outlet: &Outlet) -> Vec<u8> {
        let mut written = Vec::new();
        outlet.write(&mut written);
        written
    }

    #[test]
    fn they_are_written_in_order_as_they_are() {
        let outlet = Arc::new(Outlet::default());
        let sender = outlet.open();
        assert!(!outlet.has_waiting() && !sender.has_sent());
        sender.send(StatusCode::EARLY_HINTS, link("</a.css>"));
        sender.send(StatusCode::from_u16(199).unwrap(), HeaderMap::new());
        assert!(outlet.has_waiting() && sender.has_sent());
        assert_eq!(written(&outlet), b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 199 \r\n\r\n");
        assert!(!outlet.has_waiting() && outlet.take().is_empty());
        assert!(sender.has_sent(), "what is written was sent all the same");
    }

    #[test]
    fn neither_100_nor_101_nor_an_answer_is_one() {
        let outlet = Arc::new(Outlet::default());
        let sender = outlet.open();
        for status in [100, 101, 200, 204, 404] {
            sender.send(StatusCode::from_u16(status).unwrap(), HeaderMap::new());
        }
        assert!(!outlet.has_waiting() && !sender.has_sent());
    }

    #[test]
    fn nothing_is_sent_once_the_answer_has_begun_or_to_the_next_request() {
        let outlet = Arc::new(Outlet::default());
        let first = outlet.open();
        first.send(StatusCode::EARLY_HINTS, HeaderMap::new());
        outlet.close();
        assert!(!outlet.has_waiting());
        first.send(StatusCode::EARLY_HINTS, HeaderMap::new());
        assert!(!outlet.has_waiting());
        let second = outlet.open();
        first.send(StatusCode::EARLY_HINTS, HeaderMap::new());
        assert!(!outlet.has_waiting() && !second.has_sent());
        second.send(StatusCode::PROCESSING, HeaderMap::new());
        assert_eq!(written(&outlet), b"HTTP/1.1 102 Processing\r\n\r\n", "and nothing of the first");
        let _third = outlet.open();
        second.send(StatusCode::PROCESSING, HeaderMap::new());
        assert!(!outlet.has_waiting(), "an answer that was never closed is no door to the next request");
    }

    #[test]
    fn a_client_that_takes_none_gets_none_and_its_end_is_told() {
        let outlet = Arc::new(Outlet::default());
        let mute = outlet.open_mute();
        mute.send(StatusCode::EARLY_HINTS, link("</a.css>"));
        assert!(!outlet.has_waiting() && !mute.has_sent() && !mute.has_ended());
        outlet.note_end();
        assert!(mute.has_ended() && outlet.open().has_ended());
    }

    #[test]
    fn they_are_bounded_in_number_and_size() {
        let outlet = Arc::new(Outlet::default());
        let sender = outlet.open();
        for _ in 0..100 {
            sender.send(StatusCode::PROCESSING, HeaderMap::new());
        }
        assert_eq!(written(&outlet).len(), 64 * b"HTTP/1.1 102 Processing\r\n\r\n".len());
        let sender = outlet.open();
        sender.send(StatusCode::EARLY_HINTS, link(&"x".repeat(40_000)));
        sender.send(StatusCode::EARLY_HINTS, link(&"x".repeat(40_000)));
        sender.send(StatusCode::EARLY_HINTS, link("y"));
        let written = written(&outlet);
        assert!(written.len() < 41_000 && written.ends_with(b"link: y\r\n\r\n"));
    }
}
