//! Sessions: what a sign-in leaves behind, for a while.
//!
//! A session is known to the browser by an opaque 256-bit id and to us by that id's hash, so that a look at
//! our memory gives nobody a cookie. `Sessions::create` consumes a `SignedIn` and never takes an id from
//! outside: session fixation has no spelling. Called by `gateway` (load) and `login` (create, end).

pub mod attempt;
pub mod cookie;
pub mod memory;
pub mod once;
mod roll;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::identity::{Handle, Identity, OrgId, ProviderName, UserId};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey(pub(in crate::session) [u8; 32]);

/// Which public origin a session belongs to: its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteIndex(pub usize);

/// What is worth showing of a person, kept small: the claims themselves are gone after sign-in.
#[derive(Debug)]
pub struct Person {
    /// The Salesforce user.
    pub user: UserId,
    /// The Salesforce organization.
    pub organization: OrgId,
    /// The stable key, `user@organization`: for logs and for apps.
    pub key: Box<str>,
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
            user: identity.user,
            organization: identity.organization,
            key: format!("{}@{}", identity.user, identity.organization).into(),
            username: identity.username.as_str().into(),
            name: keep(&identity.name),
            email: keep(&identity.email),
            user_type: keep(&identity.user_type),
        }
    }
}

/// One signed-in browser.
#[derive(Debug)]
pub struct Session {
    /// Who.
    pub person: Person,
    /// Which provider vouched for them.
    pub provider: ProviderName,
    /// The identity headers, rendered once, when the session was made.
    pub headers: Box<[(HeaderName, HeaderValue)]>,
    /// When it began.
    pub began: Timestamp,
    /// When it ends at the latest.
    pub ends: Timestamp,
    /// What the provider calls it, for single logout.
    pub handle: Option<Handle>,
    site: SiteIndex,
    last_used: AtomicU64,
    ended: AtomicBool,
    end: Notify,
}

impl Session {
    /// Whether it may still be used, by the wall clock (which sleeps and jumps, unlike the store's own).
    fn is_alive(&self, now: Timestamp, idle: Duration) -> bool {
        let last_used = Timestamp(self.last_used.load(Ordering::Relaxed));
        !self.has_ended() && now < self.ends && now.since(last_used) < idle
    }

    /// When it ends if it is not used again.
    pub fn idle_until(&self, idle: Duration) -> Timestamp {
        Timestamp(self.last_used.load(Ordering::Relaxed)).after(idle).min(self.ends)
    }

    fn touch(&self, now: Timestamp) {
        if self.last_used.load(Ordering::Relaxed) != now.0 {
            self.last_used.store(now.0, Ordering::Relaxed);
        }
    }

    /// Whether somebody ended it. Streams and tunnels ask this.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Waits until somebody ends it; tunnels select on this.
    pub async fn ended(&self) {
        let notified = self.end.notified();
        let mut notified = std::pin::pin!(notified);
        notified.as_mut().enable();
        if !self.has_ended() {
            notified.await;
        }
    }

    fn finish(&self) {
        self.ended.store(true, Ordering::Release);
        self.end.notify_waiters();
    }
}
