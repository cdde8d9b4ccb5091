//! Sessions by their keys, in buckets that are a line of the processor's cache each.
//!
//! With many sessions a look-up costs what it waits for: each line of memory that is far away. A general hash table
//! keeps its marks and its entries in two places; here a bucket has both, so that one line tells where the session
//! lies. The key itself is in the session, which has to be read anyway. Called by `session::table`.

use std::sync::Arc;

use prefetch_index::prefetch_index;

use super::{Session, SessionKey};

/// How many sessions a bucket holds: so many pointers and marks fill 64 bytes.
const PLACES: usize = 7;

/// How full buckets get, in quarters, before there are more of them.
const FULL_QUARTERS: usize = 3;

/// As many sessions went past a bucket as can be counted: it is not known any more how many.
const MANY: u8 = u8::MAX;

/// Some buckets, as many as their sessions need.
#[derive(Default)]
pub(super) struct Buckets {
    buckets: Vec<Bucket>,
    count: usize,
}

#[derive(Default)]
#[repr(align(64))]
struct Bucket {
    /// A byte of the key of each session, so that nearly always only the right one is looked at.
    marks: [u8; PLACES],
    /// How many sessions belong here and are in a later bucket, because it was full.
    passed: u8,
    sessions: [Option<Arc<Session>>; PLACES],
}

impl Bucket {
    /// Those that may be the one.
    fn matches(&self, mark: u8) -> impl Iterator<Item = (usize, &Arc<Session>)> {
        let places = self.marks.iter().zip(&self.sessions).enumerate();
        places
            .filter(move |(_, (theirs, _))| **theirs == mark)
            .filter_map(|(place, (_, session))| Some((place, session.as_ref()?)))
    }
}

/// A SHA-256 is its own hash; the table goes by other bytes of it.
fn mark(SessionKey(key): &SessionKey) -> u8 {
    key[10]
}

impl Buckets {
    /// The session of that key.
    pub(super) fn find(&self, key: &SessionKey) -> Option<&Arc<Session>> {
        let mut index = self.home(key)?;
        for _ in 0..self.buckets.len() {
            let bucket = self.buckets.get(index)?;
            if let Some((_, session)) = bucket.matches(mark(key)).find(|(_, session)| session.id == *key) {
                return Some(session);
            }
            if bucket.passed == 0 {
                return None;
            }
            index = self.after(index);
        }
        None
    }

    /// Has the processor fetch the bucket of that key.
    pub(super) fn announce(&self, key: &SessionKey) {
        if let Some(home) = self.home(key) {
            prefetch_index(&self.buckets, home);
        }
    }

    /// Has the processor fetch what is probably the session of that key.
    pub(super) fn fetch(&self, key: &SessionKey) {
        let bucket = self.home(key).and_then(|home| self.buckets.get(home));
        if let Some((_, session)) = bucket.and_then(|bucket| bucket.matches(mark(key)).next()) {
            session.fetch();
        }
    }

    /// Puts in a session whose key is not there.
    pub(super) fn insert(&mut self, session: Arc<Session>) {
        if (self.count + 1) * 4 > self.buckets.len() * PLACES * FULL_QUARTERS {
            self.grow();
        }
        self.put(session);
        self.count += 1;
    }

    /// Takes the session of that key out.
    pub(super) fn remove(&mut self, key: &SessionKey) -> Option<Arc<Session>> {
        self.find(key)?;
        let mut index = self.home(key)?;
        loop {
            let after = self.after(index);
            let bucket = self.buckets.get_mut(index)?;
            let place = bucket.matches(mark(key)).find(|(_, session)| session.id == *key).map(|(place, _)| place);
            if let Some(place) = place {
                self.count -= 1;
                return bucket.sessions[place].take();
            }
            if bucket.passed != MANY {
                bucket.passed -= 1;
            }
            index = after;
        }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.buckets.iter().flat_map(|bucket| bucket.sessions.iter().flatten())
    }

    fn put(&mut self, session: Arc<Session>) {
        let Some(mut index) = self.home(&session.id) else { return };
        loop {
            let after = self.after(index);
            let Some(bucket) = self.buckets.get_mut(index) else { return };
            if let Some(place) = bucket.sessions.iter().position(Option::is_none) {
                bucket.marks[place] = mark(&session.id);
                bucket.sessions[place] = Some(session);
                return;
            }
            bucket.passed = bucket.passed.saturating_add(1);
            index = after;
        }
    }

    /// By half as much again, so that never much is empty.
    fn grow(&mut self) {
        let more = self.buckets.len() * 3 / 2 + 1;
        let before = std::mem::take(&mut self.buckets);
        self.buckets.resize_with(more, Bucket::default);
        for session in before.into_iter().flat_map(|bucket| bucket.sessions.into_iter().flatten()) {
            self.put(session);
        }
    }

    /// Where a session belongs: as far along the buckets as its key is along all keys.
    fn home(&self, SessionKey(key): &SessionKey) -> Option<usize> {
        let mut first = [0; 4];
        first.copy_from_slice(&key[..4]);
        let buckets = u64::try_from(self.buckets.len()).ok()?;
        let home = usize::try_from((u64::from(u32::from_le_bytes(first)) * buckets) >> 32).ok()?;
        (home < self.buckets.len()).then_some(home)
    }

    fn after(&self, index: usize) -> usize {
        if index + 1 < self.buckets.len() { index + 1 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::{IdentityHeaders, Sessions, SiteIndex};
    use super::*;
    use crate::clock::Timestamp;
    use crate::http::path::LocalPath;
    use crate::identity::tests::signed_in;
    use crate::session::memory::{Beginning, tests::settings};

    /// Sessions of these keys: where each belongs, its mark, and what else tells it apart.
    fn sessions(keys: impl Iterator<Item = [u8; 3]>) -> Vec<Arc<Session>> {
        let session = |[home, mark, name]: [u8; 3]| {
            let beginning = Beginning { site: SiteIndex(0), attempt: None, return_to: LocalPath::root() };
            let headers = IdentityHeaders::new(Arc::new([]), &[]);
            let store = Sessions::new(settings(), || ());
            let new = store.create(signed_in(), headers, beginning, Timestamp(0)).unwrap();
            store.end(&new.key);
            let mut session = Arc::into_inner(new.session).unwrap();
            session.id.0[..4].copy_from_slice(&u32::from_be_bytes([home, 0, 0, 0]).to_le_bytes());
            (session.id.0[10], session.id.0[20]) = (mark, name);
            session.id.0[21..].fill(0);
            session.id.0[4..10].fill(0);
            session.id.0[11..20].fill(0);
            Arc::new(session)
        };
        keys.map(session).collect()
    }

    #[test]
    fn a_bucket_is_one_line_of_a_cache() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }

    #[test]
    fn many_that_belong_to_one_bucket_are_found_all_the_same() {
        // More than can be counted, all with the same mark: the last wrap around to the first buckets.
        let all = sessions((0..=255).chain(0..=255).enumerate().map(|(turn, name)| [255, (turn / 256) as u8, name]));
        let mut buckets = Buckets::default();
        all.iter().for_each(|session| buckets.insert(Arc::clone(session)));
        assert!(all.iter().all(|session| buckets.find(&session.id).is_some_and(|found| Arc::ptr_eq(found, session))));
        let (gone, left) = all.split_at(300);
        assert!(gone.iter().all(|session| buckets.remove(&session.id).is_some()));
        assert!(gone.iter().all(|session| buckets.find(&session.id).is_none()));
        assert!(left.iter().all(|session| buckets.find(&session.id).is_some()));
        assert_eq!(buckets.iter().count(), left.len());
    }

    proptest! {
        #[test]
        fn buckets_hold_what_a_set_would(steps in prop::collection::vec((any::<bool>(), 0..4_u8, 0..2_u8, 0..16_u8), 0..400)) {
            let names = || (0..4_u8).flat_map(|home| (0..2).flat_map(move |mark| (0..16).map(move |name| [home, mark, name])));
            let keys = names().map(|[home, mark, name]| [home * 80, mark, name]);
            let (all, names): (Vec<_>, Vec<_>) = (sessions(keys), names().collect());
            let (mut buckets, mut set) = (Buckets::default(), BTreeSet::new());
            for (inserts, home, mark, name) in steps {
                let step = [home, mark, name];
                let session = &all[names.iter().position(|theirs| *theirs == step).unwrap()];
                if inserts && set.insert(step) {
                    buckets.insert(Arc::clone(session));
                } else if !inserts {
                    prop_assert_eq!(buckets.remove(&session.id).is_some(), set.remove(&step));
                }
            }
            for (session, name) in all.iter().zip(&names) {
                prop_assert_eq!(buckets.find(&session.id).is_some(), set.contains(name));
            }
            prop_assert_eq!((buckets.iter().count(), buckets.count), (set.len(), set.len()));
        }
    }
}
