//! From what went wrong to the page that explains it.
//!
//! Exhaustive, so that a new fault needs its own words. Called by `login::start` and `login::callback`.

use crate::identity::{BrowserReason, Fault, Identity, saml};
use crate::policy::NotAllowed;
use crate::refusal::Refusal;

/// The refusal that a provider's fault ends in.
#[deny(clippy::wildcard_enum_match_arm)]
pub(super) fn refusal(fault: Fault) -> Refusal {
    match fault {
        Fault::BrowserMisbehaved(BrowserReason::NoCode) => Refusal::CallbackIncomplete,
        Fault::BrowserMisbehaved(BrowserReason::StateMismatch) => Refusal::StateMismatch,
        Fault::BrowserMisbehaved(BrowserReason::IssuerMismatch) => Refusal::IssuerMismatch,
        Fault::ProviderUnreachable(cause) => Refusal::ProviderUnreachable { cause },
        Fault::ProviderTimeout(cause) => Refusal::ProviderTimeout { cause },
        Fault::ProviderMisbehaved { reason, detail } => Refusal::ProviderMisbehaved { doubt: reason, cause: detail },
        Fault::ProviderRefused { error, detail } => Refusal::Salesforce { error, cause: detail },
        Fault::Saml(saml::Fault { reason, detail }) => Refusal::SamlDoubted { doubt: reason, cause: detail },
        Fault::OurKey(cause) => Refusal::ProviderUnreachable { cause },
        Fault::NoRandomness(_) => Refusal::NoRandomness,
    }
}

/// The refusal of somebody whom the rules keep out.
#[deny(clippy::wildcard_enum_match_arm)]
pub(super) fn not_allowed(why: NotAllowed, identity: &Identity) -> Refusal {
    let who = format!("user {} of organization {}", identity.user, identity.organization);
    match why {
        NotAllowed::Organization => Refusal::WrongOrganization { cause: who },
        NotAllowed::UserType => {
            let theirs = identity.user_type.as_deref().unwrap_or("no user_type");
            Refusal::UserTypeNotAllowed { cause: format!("{who} is {theirs:?}") }
        }
        NotAllowed::Inactive => Refusal::InactiveUser { cause: who },
    }
}
