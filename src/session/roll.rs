//! Which sessions belong to whom, for a provider that ends a person's sessions (SAML core section 3.7).
//!
//! Only sessions with a handle are on it. The store strikes each off when it goes, for whatever reason, so the
//! roll is never longer than the store. Keyed by the hash of the provider's name for the person: names are as
//! long as somebody likes. Called by `session::memory`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};

use super::SessionKey;
use crate::identity::Handle;

/// The roll.
#[derive(Debug, Default)]
pub(super) struct Roll(Mutex<HashMap<[u8; 32], Vec<SessionKey>>>);

impl Roll {
    /// Writes a session down.
    pub(super) fn enter(&self, handle: &Handle, key: SessionKey) {
        self.people().entry(hash(&handle.name.value)).or_default().push(key);
    }

    /// Strikes a session off.
    pub(super) fn strike(&self, handle: &Handle, key: &SessionKey) {
        let mut people = self.people();
        let hash = hash(&handle.name.value);
        if let Some(keys) = people.get_mut(&hash) {
            keys.retain(|theirs| theirs != key);
            if keys.is_empty() {
                people.remove(&hash);
            }
        }
    }

    /// The sessions of whom the provider calls `subject`.
    pub(super) fn keys(&self, subject: &str) -> Vec<SessionKey> {
        self.people().get(&hash(subject)).cloned().unwrap_or_default()
    }

    /// How many people are on it.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.people().len()
    }

    fn people(&self) -> MutexGuard<'_, HashMap<[u8; 32], Vec<SessionKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(subject: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, subject.as_bytes()).as_ref());
    hash
}
