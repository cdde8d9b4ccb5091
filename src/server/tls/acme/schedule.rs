//! When a certificate is renewed, and when to try again after it could not be.
//!
//! At two thirds of its life, as authorities advise, and a little before that by its own hash, so that what was
//! ordered together is not renewed together. After a failure longer and longer, so that an authority's limits (five
//! failures an hour for a host at Let's Encrypt) are not met by us. An authority may ask for less patience. Called by
//! `gateway`, which keeps the time.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use instant_acme::CertificateIdentifier;
use rustls::pki_types::Der;

use super::fault::{Cause, Fault};
use crate::clock::Timestamp;
use crate::server::tls::Pair;
use crate::x509;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When `pair` is to be renewed.
pub fn due(pair: &Pair) -> Timestamp {
    let Some(validity) = pair.validity() else { return Timestamp(0) };
    let life = validity.not_after.since(validity.not_before);
    let early = (life / 20).mul_f64(fraction(pair.key.cert.first().map_or(&[], |own| own.as_ref())));
    validity.not_before.after(life * 2 / 3 - early)
}

/// When an authority would like a certificate to be renewed (RFC 9773): before it revokes it, or where it has time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Which certificate that is, as the authority calls it.
    of: String,
    at: Timestamp,
    /// When it should be asked again.
    pub again: Duration,
}

impl Advice {
    /// At a moment of the window that the certificate's own hash chooses; none when it is no window.
    pub(super) fn of(pair: &Pair, (start, end): (Timestamp, Timestamp), again: Duration) -> Option<Self> {
        let own = pair.key.cert.first()?;
        let at = start.after(end.since(start).mul_f64(fraction(own.as_ref())));
        (start < end).then_some(Self { of: name_of(pair)?.to_string(), at, again: again.clamp(HOUR, DAY) })
    }

    /// When `pair` is to be renewed, if it is the one that was asked about.
    pub fn about(&self, pair: &Pair) -> Option<Timestamp> {
        (name_of(pair)?.to_string() == self.of).then_some(self.at)
    }
}

/// What its authority calls a certificate (RFC 9773 section 4.1).
pub(super) fn name_of(pair: &Pair) -> Option<CertificateIdentifier<'static>> {
    let fields = x509::read(pair.key.cert.first()?)?;
    let name = CertificateIdentifier::new(Der::from_slice(fields.authority_key()?), Der::from_slice(fields.serial));
    Some(name.into_owned())
}

/// What goes wrong with one host's orders, over and over.
#[derive(Debug, Default)]
pub struct Trouble {
    times: u32,
}

impl Trouble {
    /// One more failure: how long to wait before the next attempt.
    pub fn after(&mut self, name: &str, fault: &Fault, now: Timestamp) -> Duration {
        let (first, most) = match fault {
            // Nothing is wrong: it will be done soon.
            Fault::Taken => return MINUTE / 2,
            // An attempt that does not arrive counts nowhere.
            Fault::Unreachable(_) | Fault::Refused { cause: Cause::Nonce, .. } => (MINUTE / 4, HOUR / 2),
            // One was issued, and authorities issue the same only a few times in a week.
            Fault::Unusable(_) => (HOUR * 6, HOUR * 12),
            _ => (MINUTE * 5, HOUR * 6),
        };
        let wait = first.saturating_mul(1 << self.times.min(20)).min(most);
        self.times = self.times.saturating_add(1);
        let spread = (wait / 4).mul_f64(fraction(format!("{name} {}", self.times).as_bytes()));
        let told = fault.retry_after().map_or(Duration::ZERO, |after| after.from(now));
        // Who says years is mistaken.
        (wait + spread).max(told.min(DAY))
    }
}

/// A number from 0 up to 1 that is always the same for the same thing.
fn fraction(of: &[u8]) -> f64 {
    let hash = digest(&SHA256, of);
    let byte = |place| hash.as_ref().get(place).copied().map_or(0.0, f64::from);
    (byte(0) * 256.0 + byte(1)) / 65_536.0
}

#[cfg(test)]
mod tests {
    use super::super::fault::RetryAfter;
    use super::*;
    use crate::server::tls::tests::write;
    use rcgen::{CertificateParams, KeyPair};

    const NOW: Timestamp = Timestamp(1_795_305_600);

    fn refused(after: Option<RetryAfter>) -> Fault {
        Fault::Refused { words: "no".to_owned(), after, cause: Cause::Other }
    }

    #[test]
    fn a_certificate_is_renewed_around_two_thirds_of_its_life_and_not_all_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (begins, ends) = (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2026, 4, 1));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..8 {
            let mut wishes = CertificateParams::new(["localhost".to_owned()]).unwrap();
            (wishes.not_before, wishes.not_after) = (begins, ends);
            let key = KeyPair::generate().unwrap();
            let made = wishes.self_signed(&key).unwrap().pem();
            let pair = write(folder.path(), "a", &made, &key.serialize_pem()).load().unwrap();
            let day = due(&pair).0.abs_diff(u64::try_from(begins.unix_timestamp()).unwrap()) as f64 / 86_400.0;
            assert!((55.5..=60.0).contains(&day), "{day}");
            assert_eq!(due(&pair), due(&pair));
            seen.insert(due(&pair));
        }
        assert!(seen.len() > 1, "{seen:?}");
    }

    #[test]
    fn advice_is_followed_within_its_window_and_for_its_own_certificate_alone() {
        let folder = tempfile::tempdir().unwrap();
        let issuer = rcgen::Issuer::new(CertificateParams::new(Vec::new()).unwrap(), KeyPair::generate().unwrap());
        let made = || {
            let mut wishes = CertificateParams::new(["localhost".to_owned()]).unwrap();
            wishes.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate().unwrap();
            let made = wishes.signed_by(&key, &issuer).unwrap().pem();
            write(folder.path(), "a", &made, &key.serialize_pem()).load().unwrap()
        };
        let (one, other) = (made(), made());
        let window = (NOW, NOW.after(DAY));
        let advice = Advice::of(&one, window, HOUR * 6).unwrap();
        let at = advice.about(&one).unwrap();
        assert!(NOW <= at && at < NOW.after(DAY) && advice.again == HOUR * 6, "{advice:?}");
        assert_eq!((advice.about(&other), Advice::of(&one, window, HOUR * 6)), (None, Some(advice)));
        // Whoever says seconds is not hammered, and whoever says years is asked all the same.
        let again = |span| Advice::of(&one, window, span).unwrap().again;
        assert_eq!((again(Duration::ZERO), again(DAY * 900)), (HOUR, DAY));
        assert_eq!(Advice::of(&one, (NOW, NOW), HOUR), None);
        assert_eq!(Advice::of(&one, (NOW.after(DAY), NOW), HOUR), None);
    }

    #[test]
    fn failures_are_answered_with_ever_longer_waits() {
        let mut trouble = Trouble::default();
        let mut waits: Vec<Duration> = (0..40).map(|_| trouble.after("a", &refused(None), NOW)).collect();
        assert!(waits[0] >= MINUTE * 5 && waits[1] >= MINUTE * 10, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= HOUR * 6 + HOUR * 3 / 2), "{waits:?}");
        // Within an hour, fewer than the five that Let's Encrypt allows.
        waits.truncate(4);
        assert!(waits.iter().sum::<Duration>() > HOUR, "{waits:?}");
    }

    #[test]
    fn an_authority_that_is_not_there_is_asked_sooner_than_one_that_refuses() {
        let silent = Fault::Unreachable("no connection".to_owned());
        let first = Trouble::default().after("a", &silent, NOW);
        assert!(first < MINUTE && first < Trouble::default().after("a", &refused(None), NOW), "{first:?}");
        let forgetful = Fault::Refused { words: "no".to_owned(), after: None, cause: Cause::Nonce };
        assert!(Trouble::default().after("a", &forgetful, NOW) < MINUTE);
    }

    #[test]
    fn an_authority_that_says_when_is_asked_no_sooner() {
        let after = |after| Trouble::default().after("a", &refused(Some(after)), NOW);
        assert_eq!(after(RetryAfter::Span(HOUR * 3)), HOUR * 3);
        assert_eq!(after(RetryAfter::Moment(NOW.after(HOUR * 4))), HOUR * 4);
        assert!(after(RetryAfter::Moment(Timestamp(5))) >= MINUTE * 5);
        // But not in years.
        assert_eq!(after(RetryAfter::Span(DAY * 4_000)), DAY);
    }

    #[test]
    fn whom_somebody_else_orders_for_is_looked_at_again_soon_and_is_no_trouble() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.after("a", &Fault::Taken, NOW), MINUTE / 2);
        assert_eq!(trouble.times, 0);
    }
}
