//! How one address stands, for all cores: in, out, or warming up after it came back.
//!
//! Requests read one byte of it, which hardly ever changes, and count failures only; whatever moves an address in
//! or out is rare and done under a lock. It goes out by two hands: the requests' (ejected, for a pause that doubles
//! each time, until somebody finds it answering) and the health check's. It is in when neither keeps it out. Time
//! is an argument. Called by `proxy::group`.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Ejection, Verdicts};

/// Out because requests failed.
const EJECTED: u8 = 1;
/// Out because health checks failed.
const UNHEALTHY: u8 = 2;
/// In again, not long ago.
const WARMING: u8 = 4;

/// The smallest share of an address that has come back, as a part of all: a tenth.
const LEAST_SHARE: u64 = u64::MAX / 10;

/// How one address stands, for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// It is asked.
    In,
    /// It came back not long ago: it is asked this share of the time, as a part of `u64::MAX`.
    Warming(u64),
    /// It is asked when nobody else is left.
    Out,
}

/// A change that is worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It went out.
    Out,
    /// It came back.
    Back,
}

/// One address's standing.
#[derive(Debug)]
pub(super) struct Standing {
    ejection: Ejection,
    slow_start: Duration,
    /// What `returned` counts from.
    epoch: Instant,
    /// [`EJECTED`], [`UNHEALTHY`], [`WARMING`]; mostly none of them.
    marks: AtomicU8,
    /// Since the last answer.
    failures: AtomicU32,
    /// When it came back, in milliseconds.
    returned: AtomicU64,
    history: Mutex<History>,
}

/// What requests need not know.
#[derive(Debug, Default)]
struct History {
    /// Ejections without a good while between them.
    in_a_row: u32,
    /// When the pause of this one ends.
    until: Option<Instant>,
    /// When the last one ended.
    readmitted: Option<Instant>,
    /// Health checks in a row that contradict what is believed.
    contradictions: u32,
}

impl Standing {
    /// In, until something is known.
    pub(super) fn new(ejection: Ejection, slow_start: Duration, now: Instant) -> Self {
        Self {
            ejection,
            slow_start,
            epoch: now,
            marks: AtomicU8::new(0),
            failures: AtomicU32::new(0),
            returned: AtomicU64::new(0),
            history: Mutex::default(),
        }
    }

    /// How it stands; `now` is asked for only when it matters.
    pub(super) fn view(&self, now: impl FnOnce() -> Instant) -> View {
        let marks = self.marks.load(Ordering::Acquire);
        if marks == 0 {
            return View::In;
        }
        if marks & (EJECTED | UNHEALTHY) != 0 {
            return View::Out;
        }
        let warm_for = self.since_epoch(now()).saturating_sub(self.returned.load(Ordering::Relaxed));
        let whole = millis(self.slow_start);
        if warm_for >= whole {
            self.marks.fetch_and(!WARMING, Ordering::Relaxed);
            return View::In;
        }
        View::Warming((u64::MAX / whole).saturating_mul(warm_for).max(LEAST_SHARE))
    }

    /// Whether it is asked at all.
    pub(super) fn is_in(&self) -> bool {
        self.marks.load(Ordering::Relaxed) & (EJECTED | UNHEALTHY) == 0
    }

    /// It answered a request.
    pub(super) fn answered(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// It left a request without an answer. The pause, when it is ejected for that.
    pub(super) fn failed(&self, now: Instant) -> Option<Duration> {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < self.ejection.failures {
            return None;
        }
        let mut history = self.lock();
        if self.marks.load(Ordering::Relaxed) & EJECTED != 0 {
            // A request that was under way already.
            return None;
        }
        let good_for = history.readmitted.map(|readmitted| now.saturating_duration_since(readmitted));
        if good_for.is_some_and(|good_for| good_for > self.ejection.longest_pause) {
            history.in_a_row = 0;
        }
        let pause = self.pause(&mut history, now);
        self.marks.fetch_or(EJECTED, Ordering::Relaxed);
        Some(pause)
    }

    /// How long an ejected address is still left alone; `None` when it is not ejected.
    pub(super) fn left_alone_for(&self, now: Instant) -> Option<Duration> {
        self.lock().until.map(|until| until.saturating_duration_since(now))
    }

    /// Somebody looked after an ejected address and found it answering, or not. Its first requests are a trial: one
    /// that fails ejects it again.
    pub(super) fn looked_after(&self, answers: bool, now: Instant) -> Option<Change> {
        let mut history = self.lock();
        history.until?;
        if !answers {
            self.pause(&mut history, now);
            return None;
        }
        history.until = None;
        history.readmitted = Some(now);
        self.failures.store(self.ejection.failures.saturating_sub(1), Ordering::Relaxed);
        self.lift(EJECTED, now)
    }

    /// A health check was answered as it should be, or not.
    pub(super) fn checked(&self, healthy: bool, verdicts: Verdicts, now: Instant) -> Option<Change> {
        let mut history = self.lock();
        let believed = self.marks.load(Ordering::Relaxed) & UNHEALTHY == 0;
        if healthy == believed {
            history.contradictions = 0;
            return None;
        }
        history.contradictions = history.contradictions.saturating_add(1);
        let enough = if healthy { verdicts.healthy } else { verdicts.unhealthy };
        if history.contradictions < enough {
            return None;
        }
        history.contradictions = 0;
        if healthy {
            return self.lift(UNHEALTHY, now);
        }
        let before = self.marks.fetch_or(UNHEALTHY, Ordering::Relaxed);
        (before & EJECTED == 0).then_some(Change::Out)
    }

    /// Takes one hand away; it is back when no other holds it.
    fn lift(&self, hand: u8, now: Instant) -> Option<Change> {
        self.returned.store(self.since_epoch(now), Ordering::Relaxed);
        let warming = if self.slow_start.is_zero() { 0 } else { WARMING };
        self.marks.fetch_or(warming, Ordering::Release);
        let before = self.marks.fetch_and(!hand, Ordering::Release);
        (before & (EJECTED | UNHEALTHY) == hand).then_some(Change::Back)
    }

    /// The next pause of an ejected address, twice the one before.
    fn pause(&self, history: &mut History, now: Instant) -> Duration {
        let doubled = 1_u32.checked_shl(history.in_a_row).unwrap_or(u32::MAX);
        let pause = self.ejection.pause.saturating_mul(doubled).min(self.ejection.longest_pause);
        history.in_a_row = history.in_a_row.saturating_add(1);
        history.until = Some(now + pause);
        pause
    }

    fn since_epoch(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.epoch))
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EJECTION: Ejection =
        Ejection { failures: 3, pause: Duration::from_secs(5), longest_pause: Duration::from_secs(60) };
    const VERDICTS: Verdicts = Verdicts { healthy: 2, unhealthy: 3 };

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn standing() -> (Standing, Instant) {
        let now = Instant::now();
        (Standing::new(EJECTION, secs(10), now), now)
    }

    fn eject(standing: &Standing, now: Instant) -> Duration {
        (0..EJECTION.failures).find_map(|_| standing.failed(now)).expect("an ejection")
    }

    #[test]
    fn failures_in_a_row_eject_and_an_answer_between_them_forgives() {
        let (standing, now) = standing();
        assert_eq!((standing.failed(now), standing.failed(now)), (None, None));
        standing.answered();
        assert_eq!((standing.failed(now), standing.failed(now)), (None, None));
        assert_eq!(standing.view(|| now), View::In);
        assert_eq!(standing.failed(now), Some(secs(5)));
        assert_eq!((standing.view(|| now), standing.is_in()), (View::Out, false));
        assert_eq!(standing.failed(now), None, "it is told once");
        assert_eq!(standing.left_alone_for(now + secs(2)), Some(secs(3)));
    }

    #[test]
    fn an_ejected_address_stays_out_until_somebody_finds_it_answering() {
        let (standing, now) = standing();
        eject(&standing, now);
        standing.answered();
        assert_eq!(standing.view(|| now + secs(3600)), View::Out);
        assert_eq!(standing.left_alone_for(now + secs(3600)), Some(Duration::ZERO));
        assert_eq!(standing.looked_after(true, now + secs(3600)), Some(Change::Back));
        assert_eq!(standing.left_alone_for(now + secs(3600)), None);
        assert!(standing.is_in());
        assert_eq!(standing.looked_after(true, now + secs(3600)), None, "it is told once");
    }

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_the_longest() {
        let (standing, mut now) = standing();
        eject(&standing, now);
        for pause in [10, 20, 40, 60, 60] {
            now += standing.left_alone_for(now).unwrap();
            assert_eq!(standing.looked_after(false, now), None);
            assert_eq!(standing.left_alone_for(now), Some(secs(pause)));
        }
    }

    #[test]
    fn the_first_failure_after_the_return_ejects_again_for_longer() {
        let (standing, now) = standing();
        eject(&standing, now);
        let back = now + secs(5);
        standing.looked_after(true, back);
        assert_eq!(standing.failed(back + secs(1)), Some(secs(10)));
    }

    #[test]
    fn a_good_while_makes_the_pause_short_again() {
        let (standing, now) = standing();
        eject(&standing, now);
        standing.looked_after(true, now + secs(5));
        standing.answered();
        assert_eq!(eject(&standing, now + secs(5 + 61)), secs(5));
    }

    #[test]
    fn one_that_came_back_warms_up_by_the_clock() {
        let (standing, now) = standing();
        eject(&standing, now);
        let back = now + secs(5);
        standing.looked_after(true, back);
        let share = |after| match standing.view(|| back + after) {
            View::Warming(share) => u64::MAX / share,
            other => panic!("{other:?}"),
        };
        assert_eq!(share(Duration::ZERO), 10, "a tenth at first");
        assert_eq!(share(secs(2)), 5);
        assert_eq!(share(secs(5)), 2);
        assert_eq!(standing.view(|| back + secs(10)), View::In);
        assert_eq!(standing.view(|| back), View::In, "once warm, it is not asked when it came back");
    }

    #[test]
    fn without_slow_start_it_is_back_at_once() {
        let now = Instant::now();
        let standing = Standing::new(EJECTION, Duration::ZERO, now);
        eject(&standing, now);
        standing.looked_after(true, now);
        assert_eq!(standing.view(|| now), View::In);
    }

    #[test]
    fn health_checks_count_when_enough_of_them_agree() {
        let (standing, now) = standing();
        for healthy in [false, false, true, false, false] {
            assert_eq!(standing.checked(healthy, VERDICTS, now), None);
        }
        assert!(standing.is_in());
        assert_eq!(standing.checked(false, VERDICTS, now), Some(Change::Out));
        assert_eq!(standing.view(|| now), View::Out);
        for healthy in [true, false, true] {
            assert_eq!(standing.checked(healthy, VERDICTS, now), None);
        }
        assert_eq!(standing.checked(true, VERDICTS, now), Some(Change::Back));
        assert!(matches!(standing.view(|| now), View::Warming(_)));
    }

    #[test]
    fn it_is_in_when_neither_hand_keeps_it_out() {
        let (standing, now) = standing();
        eject(&standing, now);
        for _ in 0..2 {
            standing.checked(false, VERDICTS, now);
        }
        assert_eq!(standing.checked(false, VERDICTS, now), None, "it was out already");
        assert_eq!(standing.looked_after(true, now), None, "it is still unhealthy");
        assert_eq!(standing.view(|| now), View::Out);
        standing.checked(true, VERDICTS, now);
        assert_eq!(standing.checked(true, VERDICTS, now), Some(Change::Back));
    }
}
