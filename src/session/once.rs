//! What may be used once: the ids of assertions, until nobody would believe them any more anyway.
//!
//! SAML profiles section 4.1.4.5 asks for it. An id gets here only out of a verified message, so strangers
//! cannot push others out; what is kept is a hash, because ids are as long as somebody likes. Called by `login`.

use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::clock::Timestamp;

/// How many are remembered. Sign-ins of five minutes at over three thousand each second.
const CAPACITY: u64 = 1_000_000;

/// The ids that were used.
pub struct Once(Cache<[u8; 32], u64>);

/// Why an id may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used;

impl Default for Once {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAPACITY)
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(Lifetime)
                .build(),
        )
    }
}

impl Once {
    /// Uses `id` up, until `expires`.
    ///
    /// # Errors
    /// [`Used`] when it was used before.
    pub fn claim(&self, id: &str, expires: Timestamp, now: Timestamp) -> Result<(), Used> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, id.as_bytes()).as_ref());
        // The entry holds how long it lives; a second one of the same id never replaces it.
        let span = expires.since(now).as_secs().saturating_add(1);
        if self.0.entry(hash).or_insert(span).is_fresh() { Ok(()) } else { Err(Used) }
    }
}

struct Lifetime;

impl Expiry<[u8; 32], u64> for Lifetime {
    fn expire_after_create(&self, _id: &[u8; 32], span: &u64, _created: Instant) -> Option<Duration> {
        Some(Duration::from_secs(*span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn an_id_is_used_once() {
        let once = Once::default();
        let until = NOW.after(Duration::from_secs(300));
        assert_eq!(once.claim("_1", until, NOW), Ok(()));
        assert_eq!(once.claim("_1", until, NOW), Err(Used));
        assert_eq!(once.claim("_1", NOW.after(Duration::from_secs(9)), NOW), Err(Used));
        assert_eq!(once.claim("_2", until, NOW), Ok(()));
    }

    #[test]
    fn an_id_that_is_good_for_ever_is_used_once_all_the_same() {
        let once = Once::default();
        for until in [Timestamp(253_402_300_799), Timestamp(u64::MAX)] {
            let id = until.0.to_string();
            assert_eq!(once.claim(&id, until, NOW), Ok(()));
            once.0.run_pending_tasks();
            assert_eq!(once.claim(&id, until, NOW), Err(Used), "{id}");
        }
    }

    #[test]
    fn an_id_is_forgotten_when_it_has_expired_and_not_before() {
        let kept = |span| Lifetime.expire_after_create(&[0; 32], &span, Instant::now());
        assert_eq!(kept(301), Some(Duration::from_secs(301)));
        let once = Once::default();
        once.claim("_1", NOW.after(Duration::from_secs(3600)), NOW).unwrap();
        once.0.run_pending_tasks();
        assert_eq!(once.0.entry_count(), 1);
    }
}
