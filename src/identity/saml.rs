//! SAML 2.0, as a service provider in front of Salesforce (SAML profiles section 4.1 and 4.4).
//!
//! Everything here is a pure function of a message, a moment and the [`Settings`]: [`ask()`] makes the question that a
//! browser carries to Salesforce, [`consume()`] judges the answer that it brings back, [`logout`] does the same for
//! signing out, [`metadata`] tells each side about the other. Nothing is fetched and nothing is remembered; that an
//! assertion counts only once is for the caller to hold, by [`Consumed::assertion_id`].
//!
//! What a message says about a person can be read only through `xmldsig::Verified`. Called by `identity`, `login`,
//! `config` and the emulator.

mod ask;
mod assertion;
mod consume;
mod fault;
pub mod logout;
pub mod metadata;
#[cfg(test)]
pub(crate) mod oracle;
pub mod provider;
mod redirect;
mod settings;
pub mod setup;
#[cfg(test)]
mod tests;
mod time;
#[cfg(test)]
mod trial;

pub use ask::{CannotSend, Sending, ask, new_id};
pub use assertion::NameId;
pub use consume::{Asked, Consumed, consume};
pub use fault::Fault;
pub use provider::Provider;
pub use redirect::{BadQuery, Parameter, Query};
pub use settings::{
    Binding, MAX_CLOCK_SKEW, Organization, OurKey, Reauthentication, Requests, Settings, SetupProblem, SignOut,
    Unsolicited,
};
pub use time::{read_time, write_time};

pub use crate::refusal::SamlDoubt as Reason;

/// How the address of our metadata ends, which is our entity id.
pub const OUR_METADATA: &str = "/saml/metadata";

/// What is not declared once and for all has this format.
const UNSPECIFIED: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified";
const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
