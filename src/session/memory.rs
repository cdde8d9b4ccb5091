//! Sessions kept in this process.
//!
//! moka with the LRU policy: its default admission policy throws fresh entries out of a full cache, and a new
//! sign-in that is forgotten at once is a redirect loop. Keys are hashes already, so they are not hashed again.
//! A session costs about 1,000 bytes beside its claims (measured: `cargo bench --bench load -- --sessions 100000`).
//! Called through `session::Sessions`.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::Notify;

use super::attempt::AttemptId;
use super::roll::Roll;
use super::{IdentityHeaders, Person, Session, SessionKey, Settings, SiteIndex};
use crate::clock::Timestamp;
use crate::http::path::LocalPath;
use crate::identity::SignedIn;
use crate::secret::{NoRandomness, Secret, random_token};

/// Takes the first eight bytes of what is a SHA-256 already.
#[derive(Default)]
pub(in crate::session) struct HashOfHash(u64);

impl Hasher for HashOfHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length_prefix: usize) {}
}

/// All sessions of this gateway.
pub struct Sessions {
    cache: Cache<SessionKey, Arc<Session>, BuildHasherDefault<HashOfHash>>,
    roll: Arc<Roll>,
    settings: Settings,
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
        let roll = Arc::new(Roll::default());
        let struck = Arc::clone(&roll);
        let cache = Cache::builder()
            .max_capacity(settings.capacity)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(settings.lifetime)
            .time_to_idle(settings.idle)
            .eviction_listener(move |key: Arc<SessionKey>, session: Arc<Session>, cause| {
                session.finish();
                if let Some(handle) = &session.handle {
                    struck.strike(handle, &key);
                }
                if cause == moka::notification::RemovalCause::Size {
                    on_evicted();
                }
            })
            .build_with_hasher(BuildHasherDefault::default());
        Self { cache, roll, settings }
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
            person: Person::of(signed_in.identity()),
            provider: signed_in.provider().clone(),
            headers,
            began: now,
            ends: signed_in.until().unwrap_or(Timestamp(u64::MAX)).min(now.after(self.settings.lifetime)),
            handle: signed_in.handle().cloned(),
            site: origin.site,
            attempt: origin.attempt,
            return_to: origin.return_to,
            last_used: AtomicU64::new(now.0),
            ended: AtomicBool::new(false),
            end: Notify::new(),
        });
        if let Some(handle) = &session.handle {
            self.roll.enter(handle, key);
        }
        self.cache.insert(key, Arc::clone(&session));
        Ok(NewSession { id: Secret::new(id), key, session })
    }

    /// The living session of that key at that site.
    pub fn load(&self, key: &SessionKey, site: SiteIndex, now: Timestamp) -> Option<Arc<Session>> {
        let session = self.cache.get(key)?;
        if session.site != site || !session.is_alive(now, self.settings.idle) {
            return None;
        }
        session.touch(now);
        Some(session)
    }

    /// Ends a session: it is gone from the store, and its streams and tunnels hear of it.
    pub fn end(&self, key: &SessionKey) {
        if let Some(session) = self.cache.remove(key) {
            session.finish();
        }
    }

    /// Ends the sessions of whom the provider calls `subject`: those that it names in `indexes`, and those that it
    /// gave no index; all of them when it names none. Returns how many there were.
    pub fn end_all(&self, subject: &str, indexes: &[String]) -> usize {
        let named = |session: &Session| {
            let index = session.handle.as_ref().and_then(|handle| handle.index.as_deref());
            indexes.is_empty() || index.is_none_or(|index| indexes.iter().any(|theirs| theirs == index))
        };
        let is_meant = |key: &SessionKey| {
            let session = self.cache.get(key)?;
            let theirs = session.handle.as_ref().is_some_and(|handle| handle.name.value == subject);
            (theirs && named(&session)).then_some(())
        };
        let meant: Vec<SessionKey> =
            self.roll.keys(subject).into_iter().filter(|key| is_meant(key).is_some()).collect();
        meant.iter().for_each(|key| self.end(key));
        meant.len()
    }

    /// How many there are. Asked when metrics are read: the store tidies up first, or its count would stay what it
    /// was at the last request.
    pub fn count(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }

    /// Their lifetimes and bounds.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::identity::tests::{signed_in, signed_in_as};

    pub(crate) fn settings() -> Settings {
        Settings {
            lifetime: Duration::from_secs(100),
            idle: Duration::from_secs(50),
            capacity: 10,
            login_timeout: Duration::from_secs(600),
        }
    }

    const SITE: SiteIndex = SiteIndex(0);
    const START: Timestamp = Timestamp(1_000_000);

    fn store() -> Sessions {
        Sessions::new(settings(), || ())
    }

    fn no_headers() -> IdentityHeaders {
        IdentityHeaders::new(Arc::new([]), &[])
    }

    fn beginning() -> Beginning {
        Beginning { site: SITE, attempt: Some(AttemptId::of("state")), return_to: LocalPath::root() }
    }

    fn create(sessions: &Sessions) -> NewSession {
        sessions.create(signed_in(), no_headers(), beginning(), START).unwrap()
    }

    #[test]
    fn a_session_is_found_by_its_key_alone() {
        let sessions = store();
        let new = create(&sessions);
        assert!(sessions.load(&new.key, SITE, START).is_some());
        assert!(sessions.load(&SessionKey::of("another"), SITE, START).is_none());
    }

    #[test]
    fn every_sign_in_gets_its_own_id() {
        let sessions = store();
        let (first, second) = (create(&sessions), create(&sessions));
        assert_ne!(first.id, second.id);
        assert_eq!(first.id.expose().len(), 43);
    }

    #[test]
    fn a_session_is_worthless_at_another_site() {
        let sessions = store();
        let new = create(&sessions);
        assert!(sessions.load(&new.key, SiteIndex(1), START).is_none());
    }

    #[test]
    fn a_session_ends_when_idle_and_when_old() {
        let sessions = store();
        let new = create(&sessions);
        let at = |seconds| sessions.load(&new.key, SITE, Timestamp(START.0 + seconds)).is_some();
        assert!(at(49));
        assert!(at(98), "use keeps it alive");
        assert!(!at(100), "but not beyond its lifetime");
        let idle = create(&sessions);
        assert!(sessions.load(&idle.key, SITE, Timestamp(START.0 + 50)).is_none());
    }

    #[tokio::test]
    async fn ending_a_session_tells_who_waits() {
        let sessions = store();
        let new = create(&sessions);
        let waiting = tokio::spawn({
            let session = Arc::clone(&new.session);
            async move { session.ended().await }
        });
        sessions.end(&new.key);
        waiting.await.unwrap();
        assert!(sessions.load(&new.key, SITE, START).is_none());
        new.session.ended().await;
    }

    fn create_as(sessions: &Sessions, subject: &str, index: Option<&str>) -> SessionKey {
        sessions.create(signed_in_as(subject, index, None), no_headers(), beginning(), START).unwrap().key
    }

    #[test]
    fn a_provider_ends_the_sessions_that_it_means_and_no_other() {
        let sessions = store();
        let ada = [Some("1"), Some("2"), None].map(|index| create_as(&sessions, "ada", index));
        let bob = create_as(&sessions, "bob", Some("1"));
        let other = create(&sessions).key;
        let alive = |key: &SessionKey| sessions.load(key, SITE, START).is_some();
        assert_eq!(sessions.end_all("ad", &[]), 0);
        assert_eq!(sessions.end_all("ada", &["1".to_owned()]), 2, "the one without an index may be meant");
        assert_eq!(ada.each_ref().map(alive), [false, true, false]);
        assert_eq!(sessions.end_all("ada", &[]), 1);
        assert!(!alive(&ada[1]) && alive(&bob) && alive(&other));
    }

    #[test]
    fn the_roll_forgets_whoever_is_gone() {
        let sessions = store();
        for number in 0..100 {
            create_as(&sessions, &format!("person {number}"), None);
        }
        let key = create_as(&sessions, "ada", None);
        sessions.end(&key);
        sessions.cache.run_pending_tasks();
        assert!(sessions.roll.len() <= 10, "{}", sessions.roll.len());
        assert!(sessions.roll.keys("ada").is_empty());
    }

    #[test]
    fn a_session_ends_when_the_provider_says() {
        let sessions = store();
        let until = Some(Timestamp(START.0 + 10));
        let new = sessions.create(signed_in_as("ada", None, until), no_headers(), beginning(), START).unwrap();
        assert!(sessions.load(&new.key, SITE, Timestamp(START.0 + 9)).is_some());
        assert!(sessions.load(&new.key, SITE, Timestamp(START.0 + 10)).is_none());
    }

    #[test]
    fn a_full_store_keeps_the_newest() {
        let sessions = store();
        for _ in 0..100 {
            create(&sessions);
        }
        sessions.cache.run_pending_tasks();
        let fresh = create(&sessions);
        sessions.cache.run_pending_tasks();
        assert!(sessions.load(&fresh.key, SITE, START).is_some());
        assert!(sessions.count() <= 10);
    }
}
