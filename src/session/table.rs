//! The table that sessions are kept in: in parts, each behind a lock of its own.
//!
//! A read is one uncontended lock and one look into a part; it notes nothing but the moment of use, and that in the
//! session itself. A cache that keeps an order of use touches memory all over the place at each read (measured with
//! prototypes, among 100,000 in random order: moka 1.0 us, locked maps 0.27). Who was unused for longest is looked
//! for when somebody has to go, which is rare, and in one part, which is a fair sample. What lies in a part, and why
//! so, is told by `session::bucket`. Called by `session::memory`.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::bucket::Buckets;
use super::{Session, SessionKey};

/// About how many sessions a part holds when the table is full.
const PART: u64 = 512;
/// At most this many parts.
const MOST_PARTS: u64 = 4096;

/// One part; alone on its cache line, so that cores that read different ones leave each other alone.
#[derive(Default)]
#[repr(align(64))]
struct Part(RwLock<Buckets>);

impl Part {
    /// A panic elsewhere leaves a table that is still a table.
    fn read(&self) -> RwLockReadGuard<'_, Buckets> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Buckets> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All sessions, at most so many.
pub(super) struct Table {
    parts: Box<[Part]>,
    capacity: u64,
    count: AtomicU64,
    /// The part that is looked through next.
    next: AtomicUsize,
}

impl Table {
    /// An empty one.
    pub(super) fn new(capacity: u64) -> Self {
        let parts = (capacity / PART).clamp(1, MOST_PARTS).next_power_of_two();
        let parts = (0..parts).map(|_| Part::default()).collect();
        Self { parts, capacity, count: AtomicU64::new(0), next: AtomicUsize::new(0) }
    }

    /// Has the processor fetch what tells where the session of that key lies.
    pub(super) fn announce(&self, key: &SessionKey) {
        self.part(key).read().announce(key);
    }

    /// Has the processor fetch what is probably the session of that key: nothing of it is looked at, and one in some
    /// fifty is another's.
    pub(super) fn fetch(&self, key: &SessionKey) {
        self.part(key).read().fetch(key);
    }

    /// The session of that key, a living one or not.
    pub(super) fn get(&self, key: &SessionKey) -> Option<Arc<Session>> {
        self.part(key).read().find(key).cloned()
    }

    /// Puts a session in, whose key was drawn for it. Whoever has to go for it is returned: those unused for longest.
    pub(super) fn insert(&self, session: Arc<Session>) -> Vec<Arc<Session>> {
        let key = session.id;
        self.part(&key).write().insert(session);
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut gone = Vec::new();
        while self.len() > self.capacity {
            let Some(victim) = self.longest_unused(&key) else { break };
            // Somebody may have taken it out since; then there is one less all the same.
            gone.extend(self.remove(&victim));
        }
        gone
    }

    /// Takes a session out.
    pub(super) fn remove(&self, key: &SessionKey) -> Option<Arc<Session>> {
        let session = self.part(key).write().remove(key)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(session)
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Looks through one in `share` of all parts, those that come next, and takes out whoever `is_over`.
    pub(super) fn sweep(&self, share: usize, is_over: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let mut gone = Vec::new();
        for _ in 0..self.parts.len().div_ceil(share.max(1)) {
            let next = self.next.fetch_add(1, Ordering::Relaxed);
            let part = &self.parts[next % self.parts.len()];
            // Readers are not held up by the search, only by what is found.
            let over: Vec<SessionKey> =
                part.read().iter().filter(|session| is_over(session)).map(|session| session.id).collect();
            gone.extend(over.iter().filter_map(|key| self.remove(key)));
        }
        gone
    }

    /// The one unused for longest in the part of `newcomer`, or in the next that has anybody else.
    fn longest_unused(&self, newcomer: &SessionKey) -> Option<SessionKey> {
        let first = self.place(newcomer);
        (0..self.parts.len()).find_map(|step| {
            let part = self.parts[(first + step) % self.parts.len()].read();
            let others = part.iter().filter(|session| session.id != *newcomer);
            // Use is noted in whole seconds: of those used in the same one, the oldest goes.
            others.min_by_key(|session| (session.last_used(), session.rest.born)).map(|session| session.id)
        })
    }

    fn part(&self, key: &SessionKey) -> &Part {
        &self.parts[self.place(key)]
    }

    /// By bytes that the part's buckets do not go by.
    fn place(&self, SessionKey(hash): &SessionKey) -> usize {
        usize::from(u16::from_le_bytes([hash[8], hash[9]])) % self.parts.len()
    }
}
