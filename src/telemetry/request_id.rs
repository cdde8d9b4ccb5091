//! A name for each request, shown on pages and in logs so that one leads to the other.
//!
//! 128 bits: half of them random and fixed for one worker, half a counter that is scrambled, so that no two
//! requests of a worker share a name and a visitor cannot count the others. Not a secret: nothing may be
//! allowed for knowing one. Called by `gateway`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The name of one request: 32 characters of lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// It as text.
    pub fn as_str(&self) -> &str {
        // Always ASCII, see `RequestIds::next`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The system's random source failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source failed")]
pub struct NoRandomness;

/// Names the requests of one worker.
#[derive(Debug)]
pub struct RequestIds {
    prefix: [u8; 16],
    next: AtomicU64,
}

impl RequestIds {
    /// A generator that no other repeats.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new() -> Result<Self, NoRandomness> {
        let mut random = [[0; 8]; 2];
        for half in &mut random {
            aws_lc_rs::rand::fill(half).map_err(|_| NoRandomness)?;
        }
        let mut prefix = [0; 16];
        write_hex(u64::from_be_bytes(random[0]), &mut prefix);
        Ok(Self { prefix, next: AtomicU64::new(u64::from_be_bytes(random[1])) })
    }

    /// The next name.
    pub fn next(&self) -> RequestId {
        let mut name = [0; 32];
        let (prefix, rest) = name.split_at_mut(16);
        prefix.copy_from_slice(&self.prefix);
        write_hex(scramble(self.next.fetch_add(1, Ordering::Relaxed)), rest);
        RequestId(name)
    }
}

/// A bijection (the finisher of the SplitMix64 generator): different counters stay different.
fn scramble(counter: u64) -> u64 {
    let mut mixed = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn write_hex(value: u64, text: &mut [u8]) {
    for (position, digit) in text.iter_mut().rev().enumerate() {
        let nibble = usize::try_from(value >> (4 * position) & 15).unwrap_or_default();
        *digit = b"0123456789abcdef"[nibble];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_requests_share_a_name() {
        let workers = [RequestIds::new().unwrap(), RequestIds::new().unwrap()];
        let names: HashSet<_> = workers.iter().flat_map(|worker| (0..10_000).map(|_| worker.next())).collect();
        assert_eq!(names.len(), 20_000);
    }

    #[test]
    fn a_name_is_32_hex_characters_that_do_not_count_up() {
        let ids = RequestIds::new().unwrap();
        let (first, second) = (ids.next(), ids.next());
        assert_eq!(first.to_string().len(), 32);
        assert!(first.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        let number = |id: RequestId| u64::from_str_radix(&id.as_str()[16..], 16).unwrap();
        assert_ne!(number(first).wrapping_add(1), number(second));
    }
}
