//! What is said about a kind of refusal, and what can be done next.
//!
//! Fixed text, so that nothing a stranger sent comes onto a page by it. Called by `refusal`, and by `pages` for the
//! words.

use std::borrow::Cow;

use hyper::StatusCode;

/// The public words of a refusal, in plain language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// A headline.
    pub title: &'static str,
    /// What happened.
    pub happened: Cow<'static, str>,
    /// What the reader can do.
    pub you: &'static str,
    /// What the administrator should check.
    pub administrator: Cow<'static, str>,
}

/// The one link that a refusal offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// Start a fresh sign-in.
    SignIn,
    /// Start a fresh sign-in, as somebody else.
    SignInAsAnother,
    /// The same address again.
    TryAgain,
    /// The app's start page.
    Home,
    /// No link would help.
    Nothing,
}

/// Everything fixed about one kind of refusal.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) code: &'static str,
    pub(super) status: StatusCode,
    pub(super) onward: Onward,
    pub(super) title: &'static str,
    pub(super) happened: &'static str,
    pub(super) you: &'static str,
    pub(super) administrator: &'static str,
}
