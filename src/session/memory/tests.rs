//! Sessions in memory: found, ended, bounded.

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
