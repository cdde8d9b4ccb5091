//! What somebody may see at the moment, by name: each entry stays until whoever put it up drops it.
//!
//! Read by many at once and rarely written, so it is copied to be changed. Used for both kinds of proof: `challenge`,
//! which is shown in handshakes, and `token`, which plain HTTP is told.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// Entries by name. Clones are the same board.
#[derive(Debug)]
pub(super) struct Board<T>(Arc<ArcSwap<HashMap<String, T>>>);

/// An entry that stays until this is dropped.
pub(super) struct Entry<T: Clone> {
    board: Board<T>,
    name: String,
}

impl<T: Clone> Board<T> {
    /// Puts `value` up under `name`, in place of another.
    pub(super) fn put(&self, name: &str, value: &T) -> Entry<T> {
        self.change(|entries| _ = entries.insert(name.to_owned(), value.clone()));
        Entry { board: self.clone(), name: name.to_owned() }
    }

    /// What stands under `name`.
    pub(super) fn get(&self, name: &str) -> Option<T> {
        self.0.load().get(name).cloned()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    fn change(&self, change: impl Fn(&mut HashMap<String, T>)) {
        self.0.rcu(|entries| {
            let mut entries = HashMap::clone(entries);
            change(&mut entries);
            entries
        });
    }
}

impl<T: Clone> Drop for Entry<T> {
    fn drop(&mut self) {
        self.board.change(|entries| _ = entries.remove(&self.name));
    }
}

impl<T> Clone for Board<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Board<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}
