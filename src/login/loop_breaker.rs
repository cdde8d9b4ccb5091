//! Notices that a browser goes round in circles.
//!
//! The loudest complaint about gateways of this kind is the endless redirect after a sign-in that worked: the
//! session does not hold, the provider signs in again without asking, and the browser gives up with words that
//! name no cause. A short-lived cookie counts completed sign-ins; whoever has to sign in again after the third
//! within a minute gets a page instead. It guards nobody but its bearer, so it is not sealed. Called by
//! `login::start`, by `login::arrival` and where people sign out.

use hyper::HeaderMap;
use hyper::header::HeaderValue;

use crate::session::cookie::{self, Keep, Policy, Travel};

/// So many completed sign-ins in a row without a session that holds are a loop.
const TOO_MANY: u8 = 3;

/// How long a completed sign-in counts, in seconds.
const MEMORY: u64 = 60;

/// How often this browser has just signed in.
fn count(headers: &HeaderMap, policy: Policy) -> u8 {
    cookie::read(headers, policy.bounce_name()).filter_map(|value| value.parse().ok()).max().unwrap_or(0)
}

/// Whether this browser, which has no session again, is in a loop.
pub(super) fn is_loop(headers: &HeaderMap, policy: Policy) -> bool {
    count(headers, policy) >= TOO_MANY
}

/// The line that counts one more completed sign-in, which has to be there where the next one is completed.
pub(super) fn count_one(headers: &HeaderMap, policy: Policy, travel: Travel) -> Option<HeaderValue> {
    let count = count(headers, policy).saturating_add(1).min(TOO_MANY);
    cookie::travelling_line(policy, policy.bounce_name(), &count.to_string(), Keep::Seconds(MEMORY), travel)
}

/// The line that starts over.
pub(super) fn reset(policy: Policy, travel: Travel) -> Option<HeaderValue> {
    cookie::travelling_line(policy, policy.bounce_name(), "", Keep::Not, travel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::COOKIE;

    fn after(sign_ins: usize) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for _ in 0..sign_ins {
            let line = count_one(&headers, Policy::Secure, Travel::Links).unwrap();
            headers.insert(COOKIE, line.to_str().unwrap().split(';').next().unwrap().parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_third_bounce_is_a_loop() {
        assert!(!is_loop(&after(0), Policy::Secure));
        assert!(!is_loop(&after(2), Policy::Secure));
        assert!(is_loop(&after(3), Policy::Secure));
        assert!(is_loop(&after(300), Policy::Secure));
    }

    #[test]
    fn an_odd_count_is_none() {
        for value in ["", "x", "-1", "999", "3.5"] {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, format!("portcullis-bounce={value}").parse().unwrap());
            assert!(!is_loop(&headers, Policy::Relaxed), "{value}");
        }
    }
}
