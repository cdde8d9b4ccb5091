//! Sessions: what a sign-in leaves behind, for a while.
//!
//! A session is known to the browser by an opaque 256-bit id and to us by that id's hash, so that a look at
//! our memory gives nobody a cookie. `Sessions::create` consumes a `SignedIn` and never takes an id from
//! outside: session fixation has no spelling. Called by `gateway` (load) and `login` (create, end).

pub mod attempt;
mod bucket;
pub mod cookie;
pub mod memory;
pub mod once;
mod roll;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::header::HeaderName;
use prefetch_index::prefetch_index;
use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::http::lines;
use crate::http::path::LocalPath;
use crate::identity::{Handle, Identity, ProviderName};

use attempt::AttemptId;
pub use memory::Sessions;

/// How long sessions last and how many are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A session ends this long after sign-in, whatever happens. Default 8 h.
    pub lifetime: Duration,
    /// A session ends when unused for this long. Default 1 h.
    pub idle: Duration,
    /// At most this many sessions are kept; the longest unused goes first. Default 100,000.
    pub capacity: u64,
    /// How long a person may take at the identity provider. Default 10 min.
    pub login_timeout: Duration,
}

/// The hash under which a session is kept: SHA-256 of the cookie's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct SessionKey(pub(in crate::session) [u8; 32]);

/// Which public origin a session belongs to: its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteIndex(pub usize);

/// What is worth showing of a person, kept small: the claims themselves are gone after sign-in.
#[derive(Debug)]
pub struct Person {
    /// The Salesforce username.
    pub username: Box<str>,
    /// Their name, for people.
    pub name: Option<Box<str>>,
    /// Their e-mail address.
    pub email: Option<Box<str>>,
    /// `STANDARD` and so on.
    pub user_type: Option<Box<str>>,
}

impl Person {
    fn of(identity: &Identity) -> Self {
        let keep = |text: &Option<String>| text.as_deref().map(Into::into);
        Self {
            username: identity.username.as_str().into(),
            name: keep(&identity.name),
            email: keep(&identity.email),
            user_type: keep(&identity.user_type),
        }
    }
}

/// Who somebody is for ever: `user@organization`, 18 characters each; kept once, because both ids are in it.
#[derive(Clone, Copy, Debug)]
pub struct PersonKey([u8; 18 + 1 + 18]);

impl PersonKey {
    fn of(identity: &Identity) -> Self {
        let mut key = [b'@'; 18 + 1 + 18];
        key[..18].copy_from_slice(identity.user.as_str().as_bytes());
        key[19..].copy_from_slice(identity.organization.as_str().as_bytes());
        Self(key)
    }

    /// As logs and apps have it.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The identity headers of one person, rendered: lines as HTTP/1.1 writes them, in one piece, so that a request reads
/// neighbouring bytes and nothing is put together for it. Names are shared by all sessions.
#[derive(Clone, Debug)]
pub struct IdentityHeaders {
    names: Arc<[HeaderName]>,
    lines: Lines,
}

/// How long lines may be to lie in the session itself. With that, a session and what an allocator rounds up fill 512
/// bytes; six headers of people with names of usual length take some 300.
const HERE: usize = 320;

/// What processors fetch at a time.
const LINE: usize = 64;

/// Text, in place where it fits: with many sessions each further place of memory is waited for.
#[derive(Clone, Debug)]
struct Lines {
    here: [u8; HERE],
    length: u16,
    /// Instead, when it is too long.
    there: Option<Box<[u8]>>,
}

impl Lines {
    fn new(text: &[u8]) -> Self {
        let mut here = [0; HERE];
        match (here.get_mut(..text.len()), u16::try_from(text.len())) {
            (Some(room), Ok(length)) => {
                room.copy_from_slice(text);
                Self { here, length, there: None }
            }
            _ => Self { here, length: 0, there: Some(text.into()) },
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match &self.there {
            None => self.here.get(..usize::from(self.length)).unwrap_or_default(),
            Some(bytes) => bytes,
        }
    }
}

impl IdentityHeaders {
    /// `texts` in the order of `names`; what is `None`, or cannot be a header value, is absent.
    pub fn new(names: Arc<[HeaderName]>, texts: &[Option<String>]) -> Self {
        let lines = Lines::new(&lines::write(&names, texts));
        Self { names, lines }
    }

    /// Those that are present, as lines that end with CR LF.
    pub fn lines(&self) -> &[u8] {
        self.lines.as_bytes()
    }

    /// The names that there may be.
    pub fn names(&self) -> &[HeaderName] {
        &self.names
    }

    /// Those that are present, as names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &[u8])> {
        let mut names = self.names.iter();
        self.lines().split_inclusive(|byte| *byte == b'\n').filter_map(move |line| {
            let line = line.strip_suffix(b"\r\n")?;
            // They are in the order of the names, of which some have no line.
            names.find_map(|name| {
                let value = line.strip_prefix(name.as_str().as_bytes())?.strip_prefix(b": ")?;
                Some((name, value))
            })
        })
    }
}

/// One signed-in browser.
///
/// What each request reads lies in one place, since with many sessions each further one is waited for. All else is
/// elsewhere. The order is that of memory: when the answer has come, all but what is beside the count of references is
/// far away again, and nothing else is looked at then.
#[derive(Debug)]
#[repr(C)]
pub struct Session {
    id: SessionKey,
    /// When it ends at the latest.
    pub ends: Timestamp,
    ended: AtomicBool,
    last_used: AtomicU64,
    site: SiteIndex,
    rest: Box<Rest>,
    key: PersonKey,
    /// The identity headers, rendered once, when the session was made.
    pub headers: IdentityHeaders,
}

/// What pages, sign-outs and streams ask of a session.
#[derive(Debug)]
struct Rest {
    person: Person,
    provider: ProviderName,
    began: Timestamp,
    handle: Option<Handle>,
    attempt: Option<AttemptId>,
    return_to: LocalPath,
    born: Instant,
    end: Notify,
}

impl Session {
    /// The person's stable key, `user@organization`: for logs and for apps.
    pub fn key(&self) -> &PersonKey {
        &self.key
    }

    /// The Salesforce user.
    pub fn user(&self) -> &str {
        self.key.as_str().get(..18).unwrap_or_default()
    }

    /// The Salesforce organization.
    pub fn organization(&self) -> &str {
        self.key.as_str().get(19..).unwrap_or_default()
    }

    /// Who.
    pub fn person(&self) -> &Person {
        &self.rest.person
    }

    /// Which provider vouched for them.
    pub fn provider(&self) -> &ProviderName {
        &self.rest.provider
    }

    /// When it began.
    pub fn began(&self) -> Timestamp {
        self.rest.began
    }

    /// What the provider calls it, for single logout.
    pub fn handle(&self) -> Option<&Handle> {
        self.rest.handle.as_ref()
    }

    /// Has the processor fetch what a request will read of it, and does not wait.
    fn fetch(&self) {
        let lines = self.headers.lines.here.as_slice();
        prefetch_index(std::slice::from_ref(&self.id), 0);
        prefetch_index(std::slice::from_ref(&self.key), 0);
        (0..HERE).step_by(LINE).chain([HERE - 1]).for_each(|place| prefetch_index(lines, place));
    }

    /// Whether it may still be used, by the wall clock (which sleeps and jumps, unlike the store's own).
    fn is_alive(&self, now: Timestamp, idle: Duration) -> bool {
        let last_used = Timestamp(self.last_used());
        !self.has_ended() && now < self.ends && now.since(last_used) < idle
    }

    /// Where the person wanted to go, if this session was made by that attempt: a replayed callback leads there.
    pub fn made_by(&self, attempt: AttemptId) -> Option<&LocalPath> {
        (self.rest.attempt == Some(attempt)).then_some(&self.rest.return_to)
    }

    /// When it ends if it is not used again.
    pub fn idle_until(&self, idle: Duration) -> Timestamp {
        Timestamp(self.last_used()).after(idle).min(self.ends)
    }

    fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// When the clock was set back, the last use lies ahead: it counts as one of this moment.
    fn note_clock(&self, now: Timestamp) {
        if self.last_used() > now.0 {
            self.touch(now);
        }
    }

    fn touch(&self, now: Timestamp) {
        if self.last_used() != now.0 {
            self.last_used.store(now.0, Ordering::Relaxed);
        }
    }

    /// Whether somebody ended it. Streams and tunnels ask this.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits until somebody ends it; tunnels select on this.
    pub async fn ended(&self) {
        let notified = self.rest.end.notified();
        let mut notified = std::pin::pin!(notified);
        notified.as_mut().enable();
        if !self.has_ended() {
            notified.await;
        }
    }

    fn finish(&self) {
        self.ended.store(true, Ordering::Release);
        self.rest.end.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_what_they_were_rendered_from_however_long() {
        let names: Arc<[HeaderName]> = ["x-a", "x-a-b", "x-c"].map(HeaderName::from_static).into();
        for length in [0, 1, HERE - 17, HERE - 16, HERE - 15, HERE, 5000] {
            let long = "n".repeat(length);
            let headers =
                IdentityHeaders::new(Arc::clone(&names), &[None, Some(long.clone()), Some("x: y".to_owned())]);
            let expected = format!("x-a-b: {long}\r\nx-c: x: y\r\n");
            assert_eq!(headers.lines(), expected.as_bytes(), "{length}");
            let read: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
            assert_eq!(read, [("x-a-b", long.as_bytes()), ("x-c", b"x: y")], "{length}");
        }
        let none = IdentityHeaders::new(names, &[None, Some("a\r\nx-evil: 1".to_owned()), None]);
        assert!(none.lines().is_empty() && none.iter().next().is_none());
    }
}
