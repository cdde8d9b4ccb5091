//! Sessions kept in this process.
//!
//! moka with the LRU policy: its default admission policy throws fresh entries out of a full cache, and a new
//! sign-in that is forgotten at once is a redirect loop. Keys are hashes already, so they are not hashed again.
//! A session costs about 700 bytes beside its header values (`benches/load.rs --sessions` measures it).
//! Called through `session::Sessions`.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::Notify;

use super::attempt::AttemptId;
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
    settings: Settings,
}

/// How a session came about.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// The site where the person signed in.
    pub site: SiteIndex,
    /// The attempt that was answered.
    pub attempt: AttemptId,
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
        let cache = Cache::builder()
            .max_capacity(settings.capacity)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(settings.lifetime)
            .time_to_idle(settings.idle)
            .eviction_listener(move |_key, session: Arc<Session>, cause| {
                session.finish();
                if cause == moka::notification::RemovalCause::Size {
                    on_evicted();
                }
            })
            .build_with_hasher(BuildHasherDefault::default());
        Self { cache, settings }
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
            ends: now.after(self.settings.lifetime),
            site: origin.site,
            attempt: origin.attempt,
            return_to: origin.return_to,
            last_used: AtomicU64::new(now.0),
            ended: AtomicBool::new(false),
            end: Notify::new(),
        });
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
    use crate::identity::tests::signed_in;

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

    fn create(sessions: &Sessions) -> NewSession {
        let beginning = Beginning { site: SITE, attempt: AttemptId::of("state"), return_to: LocalPath::root() };
        sessions.create(signed_in(), IdentityHeaders::new(Arc::new([]), &[]), beginning, START).unwrap()
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
