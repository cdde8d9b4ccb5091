//! Bytes of a message, spoilt: for tests that hold two readers against each other.
//!
//! What a grammar makes is mostly well-formed, and readers differ where it is nearly so. Called by the differential
//! tests of `server::lean` and `proxy::upstream::lean`.

use proptest::prelude::*;

/// Something done to a message.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A byte in another's place.
    Put(usize, u8),
    /// A byte less.
    Take(usize),
    /// A byte more.
    Insert(usize, u8),
    /// So many bytes twice.
    Repeat(usize, usize),
    /// Nothing behind it.
    Cut(usize),
}

/// Any of them somewhere in the first `places` bytes, mostly with one of these letters.
pub(crate) fn change(letters: &'static [u8], places: usize) -> impl Strategy<Value = Change> {
    let byte = prop_oneof![prop::sample::select(letters), any::<u8>()];
    let place = 0..places;
    prop_oneof![
        (place.clone(), byte.clone()).prop_map(|(at, byte)| Change::Put(at, byte)),
        place.clone().prop_map(Change::Take),
        (place.clone(), byte).prop_map(|(at, byte)| Change::Insert(at, byte)),
        (place.clone(), 1..30_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
        place.prop_map(Change::Cut),
    ]
}

/// `bytes` with these done to them, one after the other.
pub(crate) fn changed(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let length = bytes.len().max(1);
        match *change {
            Change::Put(at, byte) if at % length < bytes.len() => bytes[at % length] = byte,
            Change::Take(at) if at % length < bytes.len() => _ = bytes.remove(at % length),
            Change::Insert(at, byte) => bytes.insert(at % length, byte),
            Change::Repeat(at, more) => {
                let from = at % length;
                let piece = bytes[from..(from + more).min(bytes.len())].to_vec();
                bytes.splice(from..from, piece);
            }
            Change::Cut(at) => bytes.truncate(at % length),
            Change::Put(..) | Change::Take(_) => {}
        }
    }
    bytes
}
