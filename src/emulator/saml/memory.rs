//! What the identity provider remembers: requests that wait for a person, sessions that a Response came of, and
//! what was said last.
//!
//! Gone when the emulator stops. Used by `saml` and `logout`.

use std::collections::{HashMap, HashSet};

use super::event::Event;
use super::request::AuthnRequest;
use crate::emulator::grants::remember;

/// How many lines the event log keeps.
const LINES: usize = 1000;

/// A request that waits.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    /// For somebody to sign in.
    SignIn(Arriving),
    /// For the browser to come back with its cookie.
    SignOut(Leaving),
}

/// A sign-in under way.
#[derive(Clone, Debug)]
pub(super) struct Arriving {
    /// When it came, in the order of things.
    pub(super) serial: u64,
    /// What the service provider asked; nothing when the sign-in began at the org (behaviour 30).
    pub(super) request: Option<AuthnRequest>,
    pub(super) relay_state: Option<String>,
}

/// A sign-out under way.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    pub(super) request: String,
    pub(super) name_id: String,
    pub(super) relay_state: Option<String>,
}

/// What a browser's session was told to the service provider as.
#[derive(Clone, Debug)]
pub(super) struct SamlSession {
    pub(super) name_id: String,
    pub(super) index: String,
}

/// A form that the org had a browser post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where to.
    pub action: String,
    /// Its fields, in order.
    pub fields: Vec<(&'static str, String)>,
}

impl Sent {
    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.0 == name).map(|field| field.1.as_str())
    }
}

/// Everything remembered.
#[derive(Default)]
pub(in crate::emulator) struct SamlMemory {
    waiting: HashMap<String, Waiting>,
    sessions: HashMap<String, SamlSession>,
    asked: HashSet<String>,
    events: Vec<Event>,
    sent: Option<Sent>,
    request: Option<String>,
}

impl SamlMemory {
    pub(super) fn hold(&mut self, source: String, waiting: Waiting) {
        remember(&mut self.waiting, source, waiting);
    }

    pub(super) fn held(&self, source: &str) -> Option<Waiting> {
        self.waiting.get(source).cloned()
    }

    pub(super) fn take(&mut self, source: &str) -> Option<Waiting> {
        self.waiting.remove(source)
    }

    pub(super) fn begin_session(&mut self, cookie: Option<&str>, session: SamlSession) {
        if let Some(cookie) = cookie {
            remember(&mut self.sessions, cookie.to_owned(), session);
        }
    }

    pub(super) fn session(&self, cookie: Option<&str>) -> Option<SamlSession> {
        self.sessions.get(cookie?).cloned()
    }

    pub(super) fn end_session(&mut self, cookie: Option<&str>) {
        cookie.and_then(|cookie| self.sessions.remove(cookie));
    }

    /// A `LogoutRequest` of ours went out.
    pub(super) fn asked(&mut self, id: String) {
        self.asked.insert(id);
    }

    /// Whether an answer belongs to a `LogoutRequest` of ours, for the first time.
    pub(super) fn answered(&mut self, id: &str) -> bool {
        self.asked.remove(id)
    }

    pub(super) fn log(&mut self, event: Event) {
        if self.events.len() >= LINES {
            self.events.clear();
        }
        self.events.push(event);
    }

    pub(super) fn keep_request(&mut self, xml: String) {
        self.request = Some(xml);
    }

    pub(super) fn keep_sent(&mut self, sent: Sent) {
        self.sent = Some(sent);
    }

    pub(in crate::emulator) fn events(&self) -> Vec<Event> {
        self.events.clone()
    }

    pub(in crate::emulator) fn sent(&self) -> Option<Sent> {
        self.sent.clone()
    }

    pub(in crate::emulator) fn request(&self) -> Option<String> {
        self.request.clone()
    }
}
