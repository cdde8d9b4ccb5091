//! Login attempts, between the redirect and the callback.
//!
//! They travel sealed in the browser, one cookie each, so that strangers cannot fill our memory, several tabs
//! work, and an attempt that began in one browser cannot be finished in another. Each is used once: the claim
//! on its `state` is kept here for as long as its cookie would open. Called by `login`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use hyper::HeaderMap;
use hyper::header::HeaderValue;

use super::SessionKey;
use super::cookie::{self, Keep, Policy, Travel};
use crate::clock::Timestamp;
use crate::identity::Attempt;
use crate::secret::{NoRandomness, Sealer};

/// How many attempts a browser keeps at a time. Beyond it the oldest go: sealed cookies are up to 3.5 KB.
pub const MAX_ATTEMPTS: usize = 5;

/// How many unreadable cookies of our family are deleted at a time: a client may send thousands, and an answer
/// with a line for each would be larger than what asked for it.
const MAX_DELETIONS: usize = 16;

/// Seals and opens attempts, and remembers which were used.
pub struct Attempts {
    sealer: Sealer,
    policy: Policy,
    travel: Travel,
    lifetime: Duration,
    spent: Mutex<Spent>,
}

/// An attempt, and what it leaves behind once it succeeds.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Opened {
    /// The attempt.
    pub attempt: Attempt,
    /// The session that the browser had when it began. Kept here, because the session's own cookie does not come along
    /// with a form that another site posts.
    pub replaces: Option<SessionKey>,
}

/// Why there is no attempt to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAttempt {
    /// The browser did not send the cookie of this `state`.
    Missing,
    /// It sent one that this gateway did not seal, or that was sealed for another state.
    Forged,
    /// It took longer than the login timeout.
    Expired,
}

impl Attempts {
    /// With a fresh sealing key: attempts do not outlive the process, as sessions do not. `travel` says how answers
    /// may arrive at most.
    ///
    /// # Errors
    /// [`NoRandomness`] when no key can be drawn.
    pub fn new(policy: Policy, lifetime: Duration, travel: Travel) -> Result<Self, NoRandomness> {
        Ok(Self { sealer: Sealer::generate()?, policy, travel, lifetime, spent: Mutex::default() })
    }

    /// The cookie lines that begin an attempt: its own, and deletions of those that are too many.
    ///
    /// # Errors
    /// [`NoRandomness`] when no nonce can be drawn.
    pub fn seal(&self, begun: &Opened, request: &HeaderMap, now: Timestamp) -> Result<Vec<HeaderValue>, NoRandomness> {
        let attempt = &begun.attempt;
        let name = self.name(&attempt.state);
        let plain = serde_json::to_vec(begun).unwrap_or_default();
        let sealed = self.sealer.seal(&name, &plain)?;
        let mut lines = Vec::with_capacity(2);
        let travel = Travel::of(&attempt.secrets);
        lines.extend(self.line(&name, &sealed, Keep::Seconds(self.lifetime.as_secs()), travel));
        let mut kept: Vec<(Timestamp, &str, Travel)> = Vec::new();
        for (other, value) in cookie::read_family(request, self.policy.attempt_prefix()) {
            match self.read(other, value, now) {
                Ok(Opened { attempt, .. }) => kept.push((attempt.started, other, Travel::of(&attempt.secrets))),
                Err(_) if lines.len() <= MAX_DELETIONS => {
                    lines.extend(self.line(other, "", Keep::Not, self.travel));
                }
                Err(_) => {}
            }
        }
        kept.sort_unstable_by(|left, right| (right.0, right.1).cmp(&(left.0, left.1)));
        for (_, other, travel) in kept.into_iter().skip(MAX_ATTEMPTS - 1).take(MAX_DELETIONS) {
            lines.extend(self.line(other, "", Keep::Not, travel));
        }
        Ok(lines)
    }

    /// The attempt that `state` names, from the cookies of the browser that answers.
    ///
    /// # Errors
    /// [`NoAttempt`] says why there is none.
    pub fn open(&self, state: &str, request: &HeaderMap, now: Timestamp) -> Result<Opened, NoAttempt> {
        let name = self.name(state);
        let mut worst = NoAttempt::Missing;
        for value in cookie::read(request, &name) {
            match self.read(&name, value, now) {
                Ok(opened) => return Ok(opened),
                Err(why) => worst = why,
            }
        }
        Err(worst)
    }

    /// The line that deletes the cookie of `state`, which travelled so.
    pub fn forget(&self, state: &str, travel: Travel) -> Option<HeaderValue> {
        self.line(&self.name(state), "", Keep::Not, travel)
    }

    /// Takes the one use of an attempt.
    ///
    /// # Errors
    /// [`Unspendable`] when it was used before, or cannot be remembered.
    pub fn spend(&self, attempt: AttemptId, now: Timestamp) -> Result<(), Unspendable> {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).add(attempt, self.lifetime, now)
    }

    /// Whether an attempt was used.
    pub fn is_spent(&self, attempt: AttemptId) -> bool {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).contains(attempt)
    }

    fn line(&self, name: &str, value: &str, keep: Keep, travel: Travel) -> Option<HeaderValue> {
        cookie::travelling_line(self.policy, name, value, keep, travel)
    }

    /// How cookies travel that have to be there whichever provider answers.
    pub fn travel(&self) -> Travel {
        self.travel
    }

    fn name(&self, state: &str) -> String {
        let AttemptId(hash) = AttemptId::of(state);
        let mut name = self.policy.attempt_prefix().to_owned();
        for byte in &hash[..8] {
            name.push_str(&format!("{byte:02x}"));
        }
        name
    }

    fn read(&self, name: &str, value: &str, now: Timestamp) -> Result<Opened, NoAttempt> {
        let plain = self.sealer.open(name, value).ok_or(NoAttempt::Forged)?;
        let opened: Opened = serde_json::from_slice(&plain).map_err(|_| NoAttempt::Forged)?;
        if now >= opened.attempt.started.after(self.lifetime) { Err(NoAttempt::Expired) } else { Ok(opened) }
    }
}

/// An attempt's name: the first half of the hash of its `state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId([u8; 16]);

impl AttemptId {
    /// Of the attempt with that `state`.
    pub fn of(state: &str) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&digest(&SHA256, state.as_bytes()).as_ref()[..16]);
        Self(id)
    }
}

/// Why an attempt cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unspendable {
    /// It was used before.
    Already,
    /// So many were used of late that this one could not be remembered, and might be used twice.
    Full,
}

/// How many used attempts are remembered, in each of two generations.
const MAX_SPENT: usize = 1_000_000;

/// The attempts that were used: two generations, each as long as an attempt lives. A cache would take ten times
/// the memory for each, and must not forget one before its time.
#[derive(Default)]
struct Spent {
    current: HashSet<AttemptId>,
    previous: HashSet<AttemptId>,
    began: Option<Timestamp>,
}

impl Spent {
    fn contains(&self, attempt: AttemptId) -> bool {
        self.current.contains(&attempt) || self.previous.contains(&attempt)
    }

    fn add(&mut self, attempt: AttemptId, lifetime: Duration, now: Timestamp) -> Result<(), Unspendable> {
        if self.contains(attempt) {
            return Err(Unspendable::Already);
        }
        let began = *self.began.get_or_insert(now);
        if now.since(began) > lifetime {
            self.previous = std::mem::take(&mut self.current);
            self.began = Some(now);
        }
        if self.current.len() >= MAX_SPENT {
            return Err(Unspendable::Full);
        }
        self.current.insert(attempt);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::path::LocalPath;
    use crate::identity::{ProviderName, Secrets};
    use hyper::header::COOKIE;

    const START: Timestamp = Timestamp(1_000_000);

    fn attempts() -> Attempts {
        Attempts::new(Policy::Secure, Duration::from_secs(600), Travel::Links).unwrap()
    }

    fn attempt(state: &str, started: Timestamp) -> Opened {
        let attempt = Attempt {
            state: state.to_owned(),
            secrets: Secrets::Oidc { nonce: "nonce".to_owned(), verifier: "verifier".to_owned() },
            provider: ProviderName("salesforce".to_owned()),
            origin: "https://wiki.example".to_owned(),
            return_to: LocalPath::parse("/deep?x=1").unwrap(),
            started,
        };
        Opened { attempt, replaces: Some(SessionKey::of("before")) }
    }

    /// A browser's cookies after these `Set-Cookie` lines.
    fn browser(lines: &[HeaderValue], mut cookies: HeaderMap) -> HeaderMap {
        for line in lines {
            let text = line.to_str().unwrap();
            let (name, value) = text.split(';').next().unwrap().split_once('=').unwrap();
            let mut pairs: Vec<String> =
                cookies.get_all(COOKIE).iter().map(|pair| pair.to_str().unwrap().to_owned()).collect();
            pairs.retain(|pair| !pair.starts_with(&format!("{name}=")));
            if !text.contains("Max-Age=0") {
                pairs.push(format!("{name}={value}"));
            }
            cookies.remove(COOKIE);
            for pair in pairs {
                cookies.append(COOKIE, pair.parse().unwrap());
            }
        }
        cookies
    }

    #[test]
    fn an_attempt_comes_back_to_the_browser_that_began_it() {
        let attempts = attempts();
        let cookies =
            browser(&attempts.seal(&attempt("state-1", START), &HeaderMap::new(), START).unwrap(), HeaderMap::new());
        let opened = attempts.open("state-1", &cookies, START).unwrap();
        assert_eq!(opened.attempt.return_to.as_str(), "/deep?x=1");
        assert_eq!(opened.replaces, Some(SessionKey::of("before")));
        assert_eq!(attempts.open("state-1", &HeaderMap::new(), START).unwrap_err(), NoAttempt::Missing);
        assert_eq!(attempts.open("state-2", &cookies, START).unwrap_err(), NoAttempt::Missing);
    }

    #[test]
    fn an_attempt_expires() {
        let attempts = attempts();
        let cookies =
            browser(&attempts.seal(&attempt("s", START), &HeaderMap::new(), START).unwrap(), HeaderMap::new());
        assert!(attempts.open("s", &cookies, Timestamp(START.0 + 599)).is_ok());
        assert_eq!(attempts.open("s", &cookies, Timestamp(START.0 + 600)).unwrap_err(), NoAttempt::Expired);
    }

    #[test]
    fn another_gateways_attempt_is_forged() {
        let cookies =
            browser(&attempts().seal(&attempt("s", START), &HeaderMap::new(), START).unwrap(), HeaderMap::new());
        assert_eq!(attempts().open("s", &cookies, START).unwrap_err(), NoAttempt::Forged);
    }

    #[test]
    fn an_attempt_is_used_once_for_as_long_as_it_would_open() {
        let attempts = attempts();
        let id = AttemptId::of("s");
        assert!(!attempts.is_spent(id));
        assert_eq!(attempts.spend(id, START), Ok(()));
        for seconds in [0, 1, 599, 600] {
            let now = Timestamp(START.0 + seconds);
            assert_eq!(attempts.spend(id, now), Err(Unspendable::Already), "after {seconds} s");
            assert_eq!(attempts.spend(AttemptId::of(&format!("other {seconds}")), now), Ok(()));
        }
        assert_eq!(attempts.spend(AttemptId::of("later"), Timestamp(START.0 + 601)), Ok(()));
        assert!(attempts.is_spent(id), "in the generation before");
        assert_eq!(attempts.spend(AttemptId::of("much later"), Timestamp(START.0 + 1300)), Ok(()));
        assert!(!attempts.is_spent(id), "forgotten when it can no longer be opened");
    }

    #[test]
    fn what_cannot_be_remembered_is_not_spent() {
        let mut spent = Spent::default();
        for number in 0..MAX_SPENT {
            spent.current.insert(AttemptId((number as u128).to_be_bytes()));
        }
        spent.began = Some(START);
        let id = AttemptId::of("one more");
        assert_eq!(spent.add(id, Duration::from_secs(600), START), Err(Unspendable::Full));
        assert_eq!(spent.add(id, Duration::from_secs(600), Timestamp(START.0 + 601)), Ok(()));
    }

    #[test]
    fn a_flood_of_forged_attempts_is_not_answered_line_by_line() {
        let attempts = attempts();
        let mut cookies = HeaderMap::new();
        cookies.append(COOKIE, "__Host-portcullis-attempt-=x; ".repeat(2000).parse().unwrap());
        let lines = attempts.seal(&attempt("s", START), &cookies, START).unwrap();
        assert_eq!(lines.len(), 1 + MAX_DELETIONS);
    }

    #[test]
    fn a_handful_of_tabs_is_kept_and_the_oldest_go() {
        let attempts = attempts();
        let mut cookies = HeaderMap::new();
        for tab in 0..8_u64 {
            let now = Timestamp(START.0 + tab);
            let lines = attempts.seal(&attempt(&format!("tab-{tab}"), now), &cookies, now).unwrap();
            cookies = browser(&lines, cookies);
        }
        let now = Timestamp(START.0 + 8);
        let alive: Vec<u64> =
            (0..8).filter(|tab| attempts.open(&format!("tab-{tab}"), &cookies, now).is_ok()).collect();
        assert_eq!(alive, [3, 4, 5, 6, 7]);
    }
}
