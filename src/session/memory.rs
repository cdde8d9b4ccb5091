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
pub(crate) mod tests {
    use std::sync::atomic::Ordering;
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
    fn what_each_request_reads_of_a_session_is_no_larger_than_the_allocator_makes_it() {
        let counts = 2 * size_of::<usize>();
        assert!((449..=512).contains(&(counts + size_of::<Session>())), "{}", size_of::<Session>());
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
        let org = ProviderName("salesforce".to_owned());
        let stranger = ProviderName("other".to_owned());
        assert_eq!(sessions.end_all(&stranger, "ada", &[]), 0, "another provider may call somebody else so");
        assert_eq!(sessions.end_all(&org, "ad", &[]), 0);
        assert_eq!(sessions.end_all(&org, "ada", &["1".to_owned()]), 2, "the one without an index may be meant");
        assert_eq!(ada.each_ref().map(alive), [false, true, false]);
        assert_eq!(sessions.end_all(&org, "ada", &[]), 1);
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
    fn the_longest_unused_goes_first_and_hears_of_it() {
        let evicted = Arc::new(AtomicU64::new(0));
        let sessions = Sessions::new(settings(), {
            let evicted = Arc::clone(&evicted);
            move || _ = evicted.fetch_add(1, Ordering::Relaxed)
        });
        let all: Vec<_> = (0..10).map(|_| create(&sessions)).collect();
        let later = Timestamp(START.0 + 1);
        for (index, new) in all.iter().enumerate() {
            assert!(index == 4 || sessions.load(&new.key, SITE, later).is_some());
        }
        sessions.create(signed_in(), no_headers(), beginning(), later).unwrap();
        for (index, new) in all.iter().enumerate() {
            assert_eq!(new.session.has_ended(), index == 4, "{index}");
            assert_eq!(sessions.load(&new.key, SITE, later).is_none(), index == 4, "{index}");
        }
        assert_eq!((evicted.load(Ordering::Relaxed), sessions.count(later)), (1, 10));
    }

    #[test]
    fn of_those_used_in_one_second_the_oldest_goes_first() {
        let sessions = Sessions::new(Settings { capacity: 3, ..settings() }, || ());
        let all: Vec<_> = (0..12).map(|_| create(&sessions)).collect();
        let ended: Vec<bool> = all.iter().map(|new| new.session.has_ended()).collect();
        assert_eq!(ended, (0..12).map(|index| index < 9).collect::<Vec<_>>());
    }

    #[test]
    fn what_nobody_asks_for_is_swept_out_and_hears_of_it() {
        let sessions = Sessions::new(Settings { capacity: 100_000, ..settings() }, || ());
        let idle: Vec<_> = (0..500).map(|_| create(&sessions)).collect();
        let used = create(&sessions);
        assert!(sessions.load(&used.key, SITE, Timestamp(START.0 + 40)).is_some());
        let later = Timestamp(START.0 + 60);
        for _ in 0..SWEEPS {
            sessions.sweep(later);
        }
        assert!(idle.iter().all(|new| new.session.has_ended()));
        assert!(sessions.load(&used.key, SITE, later).is_some());
        assert_eq!(sessions.table.len(), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_session_last() {
        let sessions = store();
        let new = create(&sessions);
        let hour_ago = Timestamp(START.0 - 3600);
        assert_eq!(sessions.count(hour_ago), 1);
        assert_eq!(sessions.count(Timestamp(hour_ago.0 + 50)), 0, "idle since the clock was set back");
        assert!(new.session.has_ended());
        let short = Sessions::new(Settings { lifetime: Duration::ZERO, ..settings() }, || ());
        create(&short);
        assert_eq!(short.count(hour_ago), 0, "too old by the clock that nobody sets");
    }

    #[test]
    fn cores_that_create_and_end_at_once_keep_the_bound() {
        let sessions = Sessions::new(Settings { capacity: 2000, ..settings() }, || ());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..2000 {
                        let new = create(&sessions);
                        if number % 3 == 0 {
                            sessions.end(&new.key);
                            assert!(sessions.load(&new.key, SITE, START).is_none());
                        }
                    }
                });
            }
        });
        assert_eq!(sessions.table.len(), 2000);
        assert_eq!(sessions.count(Timestamp(START.0 + 100)), 0);
        assert_eq!(sessions.table.len(), 0);
    }

    #[test]
    fn a_full_store_keeps_the_newest() {
        let sessions = store();
        for _ in 0..100 {
            create(&sessions);
        }
        let fresh = create(&sessions);
        assert!(sessions.load(&fresh.key, SITE, START).is_some());
        assert!(sessions.count(START) <= 10);
    }
}
