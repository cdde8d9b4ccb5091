//! What the pretend org remembers: browsers signed in, codes, tokens, approvals.
//!
//! All of it in one place behind one lock, gone when the emulator stops. Used by the endpoints.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::people::Person;
use crate::clock::Timestamp;

/// How long a code lives (behaviour 15).
const CODE_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long an access token lives: the org's session timeout.
const ACCESS_LIFE: Duration = Duration::from_secs(2 * 60 * 60);
/// How many approvals of one app by one person live at a time (behaviour 21).
const GRANTS_EACH: usize = 5;
/// How many of each thing are kept; a pretend org on loopback needs no cleverer rule.
const CAPACITY: usize = 10_000;

/// An authorize request that waits for a person.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// When it came, in the order of things.
    pub(super) serial: u64,
    /// Where to answer, already checked.
    pub(super) redirect_uri: String,
    /// `state`.
    pub(super) state: Option<String>,
    /// `nonce`.
    pub(super) nonce: Option<String>,
    /// `code_challenge`.
    pub(super) challenge: Option<String>,
    /// What would be granted.
    pub(super) scopes: Vec<String>,
    /// `login_hint`.
    pub(super) hint: Option<String>,
    /// Whether `prompt=login`: only a sign-in later than `serial` counts.
    pub(super) fresh_login: bool,
    /// Whether `prompt=consent`: ask even who approved before.
    pub(super) ask_again: bool,
}

/// A browser's session at the pretend org.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor {
    /// Who.
    pub(super) person: &'static Person,
    /// When they signed in, in the order of things.
    pub(super) serial: u64,
}

/// A code, given out.
#[derive(Clone, Debug)]
pub(super) struct Code {
    /// Who approved.
    pub(super) person: &'static Person,
    /// What the request said.
    pub(super) request: Pending,
    /// The base that the login went through: the token's issuer.
    pub(super) issuer: String,
    issued: Timestamp,
    used: bool,
}

/// A living access token.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// Whose.
    pub(super) person: &'static Person,
    /// What it allows.
    pub(super) scopes: Vec<String>,
    /// When it was issued.
    pub(super) issued: Timestamp,
    grant: Option<u64>,
}

impl Access {
    /// When it ends.
    pub(super) fn expires(&self) -> Timestamp {
        self.issued.after(ACCESS_LIFE)
    }
}

/// What a refresh token stands for.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// Its number.
    pub(super) id: u64,
    /// Whose.
    pub(super) person: &'static Person,
    /// What it allows.
    pub(super) scopes: Vec<String>,
    /// The token's issuer.
    pub(super) issuer: String,
    current: String,
}

/// What became of a code at the token endpoint.
pub(super) enum Redeemed {
    /// It was good, and is used up now.
    Code(Box<Code>),
    /// Too old, or used before.
    Expired,
    /// Never given out.
    Unknown,
}

/// Everything remembered.
#[derive(Default)]
pub(super) struct Memory {
    serial: u64,
    visitors: HashMap<String, Visitor>,
    pending: HashMap<String, Pending>,
    approvals: HashSet<&'static str>,
    codes: HashMap<String, Code>,
    access: HashMap<String, Access>,
    refresh: HashMap<String, u64>,
    grants: VecDeque<Grant>,
    assertions: HashSet<String>,
}

impl Memory {
    /// The next number in the order of things.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// A browser signed in.
    pub(super) fn welcome(&mut self, session: String, person: &'static Person) {
        let serial = self.next_serial();
        remember(&mut self.visitors, session, Visitor { person, serial });
    }

    /// Who that browser is.
    pub(super) fn visitor(&self, session: Option<&str>) -> Option<Visitor> {
        self.visitors.get(session?).copied()
    }

    /// A browser signed out.
    pub(super) fn farewell(&mut self, session: Option<&str>) {
        session.and_then(|session| self.visitors.remove(session));
    }

    /// Keeps an authorize request under `source`.
    pub(super) fn hold(&mut self, source: String, pending: Pending) {
        remember(&mut self.pending, source, pending);
    }

    /// The authorize request of that `source`.
    pub(super) fn held(&self, source: &str) -> Option<Pending> {
        self.pending.get(source).cloned()
    }

    /// Takes an authorize request: it is answered once.
    pub(super) fn take(&mut self, source: &str) -> Option<Pending> {
        self.pending.remove(source)
    }

    /// A person approved the app.
    pub(super) fn approve(&mut self, person: &Person) {
        if let Some(known) = super::people::find(person.username) {
            self.approvals.insert(known.username);
        }
    }

    /// Whether a person approved before (behaviour 10).
    pub(super) fn approved(&self, person: &Person) -> bool {
        self.approvals.contains(person.username)
    }

    /// Gives out a code.
    pub(super) fn issue_code(
        &mut self,
        code: String,
        person: &'static Person,
        request: Pending,
        issuer: &str,
        now: Timestamp,
    ) {
        let kept = Code { person, request, issuer: issuer.to_owned(), issued: now, used: false };
        remember(&mut self.codes, code, kept);
    }

    /// Takes a code back: once, and in time (behaviour 15).
    pub(super) fn redeem(&mut self, code: &str, now: Timestamp) -> Redeemed {
        let Some(kept) = self.codes.get_mut(code) else { return Redeemed::Unknown };
        if kept.used || now >= kept.issued.after(CODE_LIFE) {
            return Redeemed::Expired;
        }
        kept.used = true;
        Redeemed::Code(Box::new(kept.clone()))
    }

    /// Gives out an access token.
    pub(super) fn issue_access(
        &mut self,
        token: String,
        person: &'static Person,
        scopes: &[String],
        grant: Option<u64>,
        now: Timestamp,
    ) {
        remember(&mut self.access, token, Access { person, scopes: scopes.to_vec(), issued: now, grant });
    }

    /// A living access token.
    pub(super) fn access(&self, token: &str, now: Timestamp) -> Option<Access> {
        self.access.get(token).filter(|access| now < access.expires()).cloned()
    }

    /// Opens a grant with its refresh token; the sixth of a person closes the oldest (behaviour 21).
    pub(super) fn issue_grant(&mut self, token: String, code: &Code) -> u64 {
        let of_person: Vec<u64> =
            self.grants.iter().filter(|grant| grant.person == code.person).map(|grant| grant.id).collect();
        if of_person.len() >= GRANTS_EACH
            && let Some(oldest) = of_person.first()
        {
            self.close_grant(*oldest);
        }
        let id = self.next_serial();
        let scopes = code.request.scopes.clone();
        let grant = Grant { id, person: code.person, scopes, issuer: code.issuer.clone(), current: token.clone() };
        self.grants.push_back(grant);
        remember(&mut self.refresh, token, id);
        id
    }

    /// The grant behind a refresh token. With rotation `renewed` takes the token's place, and an old token
    /// kills the whole family (behaviour 20).
    pub(super) fn refresh(&mut self, token: &str, renewed: Option<String>) -> Option<Grant> {
        let id = *self.refresh.get(token)?;
        let grant = self.grants.iter_mut().find(|grant| grant.id == id)?;
        if grant.current != token {
            self.close_grant(id);
            return None;
        }
        if let Some(renewed) = renewed {
            grant.current.clone_from(&renewed);
            let grant = grant.clone();
            remember(&mut self.refresh, renewed, id);
            return Some(grant);
        }
        Some(grant.clone())
    }

    /// The living grant of a refresh token, untouched.
    pub(super) fn grant(&self, token: &str) -> Option<&Grant> {
        let id = self.refresh.get(token)?;
        self.grants.iter().find(|grant| grant.id == *id && grant.current == token)
    }

    /// Revokes a token of either kind; `false` when it was not alive (behaviour 22).
    pub(super) fn revoke(&mut self, token: &str) -> bool {
        if let Some(grant) = self.grant(token).map(|grant| grant.id) {
            self.close_grant(grant);
            return true;
        }
        self.access.remove(token).is_some()
    }

    /// Whether a client assertion's `jti` comes for the first time.
    pub(super) fn first_use(&mut self, jti: &str) -> bool {
        if self.assertions.len() >= CAPACITY {
            self.assertions.clear();
        }
        self.assertions.insert(jti.to_owned())
    }

    /// Ends a grant and the access tokens that came of it.
    fn close_grant(&mut self, id: u64) {
        self.grants.retain(|grant| grant.id != id);
        self.access.retain(|_, access| access.grant != Some(id));
    }
}

/// Keeps one more thing; a full map begins anew.
pub(super) fn remember<T>(map: &mut HashMap<String, T>, key: String, value: T) {
    if map.len() >= CAPACITY {
        map.clear();
    }
    map.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::people::ADMINISTRATOR;

    fn pending() -> Pending {
        Pending {
            serial: 1,
            redirect_uri: "http://localhost/callback".to_owned(),
            state: None,
            nonce: None,
            challenge: None,
            scopes: vec!["openid".to_owned()],
            hint: None,
            fresh_login: false,
            ask_again: false,
        }
    }

    fn code() -> Code {
        let issuer = "https://pretend.my.salesforce.com".to_owned();
        Code { person: &ADMINISTRATOR, request: pending(), issuer, issued: Timestamp(0), used: false }
    }

    #[test]
    fn a_code_works_once_and_for_a_quarter_of_an_hour() {
        let mut memory = Memory::default();
        memory.issue_code("a".into(), &ADMINISTRATOR, pending(), "i", Timestamp(1000));
        memory.issue_code("b".into(), &ADMINISTRATOR, pending(), "i", Timestamp(1000));
        assert!(matches!(memory.redeem("a", Timestamp(1000)), Redeemed::Code(_)));
        assert!(matches!(memory.redeem("a", Timestamp(1000)), Redeemed::Expired));
        assert!(matches!(memory.redeem("b", Timestamp(1900)), Redeemed::Expired));
        assert!(matches!(memory.redeem("c", Timestamp(1000)), Redeemed::Unknown));
    }

    #[test]
    fn the_sixth_grant_closes_the_oldest() {
        let mut memory = Memory::default();
        for number in 0..6 {
            memory.issue_grant(format!("r{number}"), &code());
        }
        assert!(memory.refresh("r0", None).is_none());
        assert!(memory.refresh("r1", None).is_some() && memory.refresh("r5", None).is_some());
    }

    #[test]
    fn a_rotated_token_used_again_kills_its_family() {
        let mut memory = Memory::default();
        let grant = memory.issue_grant("first".into(), &code());
        memory.issue_access("access".into(), &ADMINISTRATOR, &[], Some(grant), Timestamp(0));
        assert!(memory.refresh("first", Some("second".into())).is_some());
        assert!(memory.access("access", Timestamp(1)).is_some());
        assert!(memory.refresh("first", Some("third".into())).is_none());
        assert!(memory.refresh("second", None).is_none());
        assert!(memory.access("access", Timestamp(1)).is_none());
    }

    #[test]
    fn a_revoked_token_cannot_be_revoked_again() {
        let mut memory = Memory::default();
        memory.issue_access("access".into(), &ADMINISTRATOR, &[], None, Timestamp(0));
        assert!(memory.revoke("access"));
        assert!(!memory.revoke("access"));
    }
}
