//! Sessions kept in this process.
//!
//! Bounded by number, age and idleness. Whoever asks for a session is told the truth about its age at that moment;
//! the sweep takes out what nobody asks for. A session goes in one place for whatever reason, `bury`, so that its
//! streams and tunnels hear of it and the roll is told. Called through `session::Sessions`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use tokio::sync::Notify;

use super::attempt::AttemptId;
use super::roll::Roll;
use super::table::Table;
use super::{IdentityHeaders, Person, PersonKey, Rest, Session, SessionKey, Settings, SiteIndex};
use crate::clock::Timestamp;
use crate::http::path::LocalPath;
use crate::identity::{ProviderName, SignedIn};
use crate::secret::{NoRandomness, Secret, random_token};

/// In how many steps the store is looked through once.
const SWEEPS: usize = 60;

/// All sessions of this gateway.
pub struct Sessions {
    table: Table,
    roll: Roll,
    settings: Settings,
    on_evicted: Box<dyn Fn() + Send + Sync>,
}

/// How a session came about.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The site where the person signed in.
    pub site: SiteIndex,
    /// The attempt that was answered; none when the provider began the sign-in.
    pub attempt: Option<AttemptId>,
    /// Where the person wanted to go.
    pub return_to: LocalPath,
}

/// A new session's cookie value, to be sent once and then forgotten.
#[derive(Debug)]
pub struct NewSession {
    /// The id, for the cookie.
    pub id: Secret<String>,
    /// Its hash.
    pub key: SessionKey,
    /// The session.
    pub session: Arc<Session>,
}

impl Sessions {
    /// An empty store. `on_evicted` is told when capacity pushes a living session out.
    pub fn new(settings: Settings, on_evicted: impl Fn() + Send + Sync + 'static) -> Self {
        let table = Table::new(settings.capacity);
        Self { table, roll: Roll::default(), settings, on_evicted: Box::new(on_evicted) }
    }

    /// Makes a session of a proven sign-in, always under a fresh id, valid at its site alone.
    ///
    /// # Errors
    /// [`NoRandomness`] when no id can be drawn; nobody is signed in then.
    pub fn create(
        &self,
        signed_in: SignedIn,
        headers: IdentityHeaders,
        origin: Beginning,
        now: Timestamp,
    ) -> Result<NewSession, NoRandomness> {
        let id = random_token()?;
        let key = SessionKey::of(&id);
        let session = Arc::new(Session {
            id: key,
            ends: signed_in.until().unwrap_or(Timestamp(u64::MAX)).min(now.after(self.settings.lifetime)),
            last_used: AtomicU64::new(now.0),
            headers,
            rest: Box::new(Rest {
                person: Person::of(signed_in.identity()),
                provider: signed_in.provider().clone(),
                began: now,
                handle: signed_in.handle().cloned(),
                attempt: origin.attempt,
                return_to: origin.return_to,
                born: Instant::now(),
                end: Notify::new(),
            }),
            site: origin.site,
            key: PersonKey::of(signed_in.identity()),
            ended: AtomicBool::new(false),
        });
        if let Some(handle) = session.handle() {
            self.roll.enter(handle, key);
        }
        for unused in self.table.insert(Arc::clone(&session)) {
            if unused.is_alive(now, self.settings.idle) {
                (self.on_evicted)();
            }
            self.bury(&unused);
        }
        Ok(NewSession { id: Secret::new(id), key, session })
    }

    /// Announces that a session will be fetched and loaded. Among many each lies in memory that is far away, and so
    /// does what tells where; what else has to be done for a request can be done while they come.
    pub fn announce(&self, key: &SessionKey) {
        self.table.announce(key);
    }

    /// Has a session come from memory that will be loaded. It reads what was announced, and does not wait for the rest.
    pub fn fetch(&self, key: &SessionKey) {
        self.table.fetch(key);
    }

    /// The living session of that key at that site.
    pub fn load(&self, key: &SessionKey, site: SiteIndex, now: Timestamp) -> Option<Arc<Session>> {
        let session = self.table.get(key)?;
        if session.site != site || !session.is_alive(now, self.settings.idle) {
            return None;
        }
        session.touch(now);
        Some(session)
    }

    /// Ends a session: it is gone from the store, and its streams and tunnels hear of it.
    pub fn end(&self, key: &SessionKey) {
        if let Some(session) = self.table.remove(key) {
            self.bury(&session);
        }
    }

    /// What is due for a session that is no longer in the table.
    fn bury(&self, session: &Session) {
        session.finish();
        if let Some(handle) = session.handle() {
            self.roll.strike(handle, &session.id);
        }
    }

    /// Ends the sessions of whom `provider` calls `subject`: those that it names in `indexes`, and those that it
    /// gave no index; all of them when it names none. Another provider's sessions are not its to end, whatever it
    /// calls people. Returns how many there were.
    pub fn end_all(&self, provider: &ProviderName, subject: &str, indexes: &[String]) -> usize {
        let named = |session: &Session| {
            let index = session.handle().and_then(|handle| handle.index.as_deref());
            indexes.is_empty() || index.is_none_or(|index| indexes.iter().any(|theirs| theirs == index))
        };
        let is_meant = |key: &SessionKey| {
            let session = self.table.get(key)?;
            let theirs = session.handle().is_some_and(|handle| handle.name.value == subject);
            (theirs && *session.provider() == *provider && named(&session)).then_some(())
        };
        let meant: Vec<SessionKey> =
            self.roll.keys(subject).into_iter().filter(|key| is_meant(key).is_some()).collect();
        meant.iter().for_each(|key| self.end(key));
        meant.len()
    }

    /// How many there are. The whole store is looked through first: whoever asks means the living.
    pub fn count(&self, now: Timestamp) -> u64 {
        self.sweep_part(now, 1);
        self.table.len()
    }

    /// Ends some of the sessions that are too old or were not used for too long, so that their memory and their
    /// streams do not wait for somebody to ask. Called each second, it has seen everything in a minute.
    pub fn sweep(&self, now: Timestamp) {
        self.sweep_part(now, SWEEPS);
    }

    fn sweep_part(&self, now: Timestamp, share: usize) {
        let instant = Instant::now();
        let is_over = |session: &Session| {
            // A wall clock that was set back does not make a session last: its age is known by the other clock as
            // well, and idleness counts from now again.
            session.note_clock(now);
            !session.is_alive(now, self.settings.idle)
                || instant.saturating_duration_since(session.rest.born) >= self.settings.lifetime
        };
        for session in self.table.sweep(share, is_over) {
            self.bury(&session);
        }
    }

    /// Their lifetimes and bounds.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

#[cfg(test)]
pub(crate) mod tests;
