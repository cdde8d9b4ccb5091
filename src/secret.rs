//! Secrets that will not print, values sealed for the browser to carry, and equality that takes its time.
//!
//! `Secret<T>` has no `Display` and its `Debug` says nothing, so a secret cannot reach a log by accident.
//! `Sealer` is AES-256-GCM-SIV (RFC 8452: safe with random nonces, and a repeated nonce leaks only equality).
//! Called by `session::cookie` for login attempts and by `identity` for client credentials.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroize;

/// A value that must never be shown. Read it with [`Secret::expose`], which is easy to search for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself: for the one place that sends or verifies it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The operating system's random source failed: nothing can be promised, so nothing is made.
#[derive(Debug, thiserror::Error)]
#[error("the system's random source failed")]
pub struct NoRandomness;

/// `N` random bytes from the system's source.
///
/// # Errors
/// [`NoRandomness`] when the source fails; callers refuse the request.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// 256 random bits as 43 characters of base64url: for `state`, `nonce` and session ids.
///
/// # Errors
/// [`NoRandomness`] when the source fails.
pub fn random_token() -> Result<String, NoRandomness> {
    Ok(URL_SAFE_NO_PAD.encode(random::<32>()?))
}

/// Whether two byte strings are equal, in time that depends only on their lengths.
pub fn same(left: &[u8], right: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// Seals small values so that only this gateway can read or have made them.
pub struct Sealer {
    key: LessSafeKey,
}

impl Sealer {
    /// A sealer with a fresh random key: what it sealed is unreadable after a restart.
    ///
    /// # Errors
    /// [`NoRandomness`] when the system's random source fails.
    pub fn generate() -> Result<Self, NoRandomness> {
        let bytes: [u8; 32] = random()?;
        let key = UnboundKey::new(&AES_256_GCM_SIV, &bytes).map_err(|_| NoRandomness)?;
        Ok(Self { key: LessSafeKey::new(key) })
    }

    /// `value`, sealed for `purpose` (authenticated, not stored) as base64url text.
    ///
    /// # Errors
    /// [`NoRandomness`] when no nonce can be drawn.
    pub fn seal(&self, purpose: &str, value: &[u8]) -> Result<String, NoRandomness> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = value.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose.as_bytes()), &mut sealed)
            .map_err(|_| NoRandomness)?;
        let mut whole = nonce.to_vec();
        whole.extend_from_slice(&sealed);
        Ok(URL_SAFE_NO_PAD.encode(whole))
    }

    /// What was sealed for `purpose`, or `None` when a single bit or the purpose differs.
    pub fn open(&self, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
        let mut whole = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, ciphertext) = whole.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.key.open_in_place(nonce, Aad::from(purpose.as_bytes()), ciphertext).ok()?;
        Some(plain.to_vec())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_does_not_print() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "[secret]");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_again(value: Vec<u8>, purpose: String) {
            let sealer = Sealer::generate().unwrap();
            let sealed = sealer.seal(&purpose, &value).unwrap();
            prop_assert_eq!(sealer.open(&purpose, &sealed), Some(value));
            prop_assert_eq!(sealer.open(&format!("{purpose}!"), &sealed), None);
        }

        #[test]
        fn any_flipped_bit_fails(value: Vec<u8>, position: prop::sample::Index, bit in 0_u8..8) {
            let sealer = Sealer::generate().unwrap();
            let sealed = sealer.seal("test", &value).unwrap();
            let mut raw = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
            let index = position.index(raw.len());
            raw[index] ^= 1 << bit;
            prop_assert_eq!(sealer.open("test", &URL_SAFE_NO_PAD.encode(raw)), None);
        }
    }

    #[test]
    fn another_gateways_seal_does_not_open() {
        let sealed = Sealer::generate().unwrap().seal("test", b"value").unwrap();
        assert_eq!(Sealer::generate().unwrap().open("test", &sealed), None);
    }
}
