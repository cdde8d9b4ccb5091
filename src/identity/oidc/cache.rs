//! Something fetched from the provider, kept on our own schedule, fetched by one caller at a time.
//!
//! Salesforce forbids caching of discovery and keys by header (salesforce.md 1.3), so the header is no guide.
//! A value that grew old is served while it is being renewed and when renewing fails, up to a bound: a short
//! outage of the provider's discovery ends no sign-in. Called by `discovery` and `keys`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use crate::identity::trouble::Trouble;

/// After a failure nobody is asked for so long: those who wait get the same answer.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Between fetches that an unknown key causes: a stranger's token must not make us a load on the provider.
const DEMAND_AFTER: Duration = Duration::from_secs(30);

struct Held<T> {
    value: Arc<T>,
    since: Instant,
}

#[derive(Default)]
struct Flight {
    failed: Option<(Instant, Trouble)>,
    demanded: Option<Instant>,
}

/// The monotonic clock that ages are measured by; a test may move it.
#[derive(Default)]
struct Clock {
    #[cfg(test)]
    ahead: std::sync::Mutex<Duration>,
}

impl Clock {
    fn now(&self) -> Instant {
        #[cfg(test)]
        let ahead = *self.ahead.lock().unwrap();
        #[cfg(not(test))]
        let ahead = Duration::ZERO;
        Instant::now() + ahead
    }

    fn since(&self, earlier: Instant) -> Duration {
        self.now().saturating_duration_since(earlier)
    }
}

/// One value of the provider's.
pub(super) struct Cache<T> {
    clock: Clock,
    held: ArcSwapOption<Held<T>>,
    flight: Mutex<Flight>,
    fresh: Duration,
    bound: Duration,
}

impl<T> Cache<T> {
    /// Nothing yet. A value is renewed when it is older than `fresh`, and never used beyond `bound`.
    pub(super) fn new(fresh: Duration, bound: Duration) -> Self {
        Self { clock: Clock::default(), held: ArcSwapOption::empty(), flight: Mutex::default(), fresh, bound }
    }

    /// The value: as held, renewed, or stale within the bound.
    pub(super) async fn get<F, R>(&self, fetch: F) -> Result<Arc<T>, Trouble>
    where
        F: FnOnce() -> R,
        R: Future<Output = Result<T, Trouble>>,
    {
        if let Some(value) = self.younger_than(self.fresh) {
            return Ok(value);
        }
        match self.younger_than(self.bound) {
            Some(stale) => match self.flight.try_lock() {
                Ok(mut flight) => Ok(self.fetch(&mut flight, fetch).await.unwrap_or(stale)),
                Err(_) => Ok(stale),
            },
            None => {
                let mut flight = self.flight.lock().await;
                match self.younger_than(self.fresh) {
                    Some(value) => Ok(value),
                    None => self.fetch(&mut flight, fetch).await,
                }
            }
        }
    }

    /// The value, fetched anew because the one held does not satisfy: at most once in [`DEMAND_AFTER`]. What
    /// is held stays when that fails.
    pub(super) async fn demand<F, R>(&self, satisfies: impl Fn(&T) -> bool, fetch: F) -> Result<Arc<T>, Trouble>
    where
        F: FnOnce() -> R,
        R: Future<Output = Result<T, Trouble>>,
    {
        let mut flight = self.flight.lock().await;
        let held = self.younger_than(self.bound);
        if let Some(value) = held {
            // Somebody else may have fetched while we waited.
            let just_asked = flight.demanded.is_some_and(|since| self.clock.since(since) < DEMAND_AFTER);
            if satisfies(&value) || just_asked {
                return Ok(value);
            }
        }
        let value = self.fetch(&mut flight, fetch).await?;
        flight.demanded = Some(self.clock.now());
        Ok(value)
    }

    fn younger_than(&self, age: Duration) -> Option<Arc<T>> {
        self.held.load().as_ref().filter(|held| self.clock.since(held.since) < age).map(|held| Arc::clone(&held.value))
    }

    async fn fetch<F, R>(&self, flight: &mut Flight, fetch: F) -> Result<Arc<T>, Trouble>
    where
        F: FnOnce() -> R,
        R: Future<Output = Result<T, Trouble>>,
    {
        if let Some((since, trouble)) = &flight.failed
            && self.clock.since(*since) < RETRY_AFTER
        {
            return Err(trouble.clone());
        }
        match fetch().await {
            Ok(value) => {
                let value = Arc::new(value);
                flight.failed = None;
                self.held.store(Some(Arc::new(Held { value: Arc::clone(&value), since: self.clock.now() })));
                Ok(value)
            }
            Err(trouble) => {
                tracing::warn!(cause = %trouble, "the identity provider's documents could not be fetched");
                flight.failed = Some((self.clock.now(), trouble.clone()));
                Err(trouble)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const FRESH: Duration = Duration::from_secs(3600);
    const BOUND: Duration = Duration::from_secs(86400);

    fn advance<T>(cache: &Cache<T>, by: Duration) {
        *cache.clock.ahead.lock().unwrap() += by;
    }

    fn down() -> Trouble {
        Trouble::Unreachable("down".to_owned())
    }

    #[tokio::test]
    async fn a_fresh_value_is_not_fetched_again() {
        let cache = Cache::new(FRESH, BOUND);
        assert_eq!(*cache.get(async || Ok(1)).await.unwrap(), 1);
        assert_eq!(*cache.get(async || Ok(2)).await.unwrap(), 1);
        advance(&cache, FRESH);
        assert_eq!(*cache.get(async || Ok(3)).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_stale_value_outlives_an_outage_up_to_the_bound() {
        let cache = Cache::new(FRESH, BOUND);
        cache.get(async || Ok(1)).await.unwrap();
        advance(&cache, FRESH);
        assert_eq!(*cache.get(async || Err(down())).await.unwrap(), 1);
        advance(&cache, BOUND);
        assert_eq!(cache.get(async || Err(down())).await.err(), Some(down()));
    }

    #[tokio::test]
    async fn a_failure_is_remembered_for_those_who_wait() {
        let cache = Cache::<u32>::new(FRESH, BOUND);
        assert!(cache.get(async || Err(down())).await.is_err());
        assert!(cache.get(async || Ok(1)).await.is_err());
        advance(&cache, RETRY_AFTER);
        assert_eq!(*cache.get(async || Ok(2)).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn many_callers_cause_one_fetch() {
        let cache = Cache::new(FRESH, BOUND);
        let fetches = AtomicU32::new(0);
        let slow = || async {
            tokio::task::yield_now().await;
            Ok(fetches.fetch_add(1, Ordering::Relaxed))
        };
        let (one, two, three) = tokio::join!(cache.get(slow), cache.get(slow), cache.get(slow));
        assert_eq!((*one.unwrap(), *two.unwrap(), *three.unwrap()), (0, 0, 0));
        assert_eq!(fetches.into_inner(), 1);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_renewal() {
        let cache = Cache::new(FRESH, BOUND);
        cache.get(async || Ok(1)).await.unwrap();
        advance(&cache, FRESH);
        let renewing = cache.get(async || {
            tokio::task::yield_now().await;
            Ok(2)
        });
        let (renewed, meanwhile) = tokio::join!(renewing, cache.get(async || Ok(3)));
        assert_eq!((*renewed.unwrap(), *meanwhile.unwrap()), (2, 1));
    }

    #[tokio::test]
    async fn a_demand_is_met_once_in_a_while() {
        let cache = Cache::new(FRESH, BOUND);
        cache.get(async || Ok(1)).await.unwrap();
        assert_eq!(*cache.demand(|held| *held == 1, async || Ok(9)).await.unwrap(), 1);
        assert_eq!(*cache.demand(|held| *held == 2, async || Ok(2)).await.unwrap(), 2);
        assert_eq!(*cache.demand(|held| *held == 3, async || Ok(3)).await.unwrap(), 2);
        advance(&cache, DEMAND_AFTER);
        assert_eq!(*cache.demand(|held| *held == 3, async || Ok(3)).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_failed_demand_keeps_what_is_held() {
        let cache = Cache::new(FRESH, BOUND);
        cache.get(async || Ok(1)).await.unwrap();
        assert!(cache.demand(|held| *held == 2, async || Err(down())).await.is_err());
        assert_eq!(*cache.get(async || Ok(3)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_caller_who_leaves_lets_the_next_one_fetch() {
        let cache = Cache::new(FRESH, BOUND);
        tokio::select! {
            biased;
            _ = cache.get(std::future::pending::<Result<u32, Trouble>>) => panic!("it never ends"),
            () = std::future::ready(()) => (),
        }
        assert_eq!(*cache.get(async || Ok(1)).await.unwrap(), 1);
    }
}
