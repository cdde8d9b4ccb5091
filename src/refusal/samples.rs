//! One refusal of each kind.
//!
//! A list by hand: the compiler does not miss a kind here, but a test does, and another holds `docs/refusals.md`
//! against their codes. Called by tests, and by whoever wants to look at every page.

use super::{ProviderDoubt, Refusal, SalesforceError, SamlDoubt};

impl Refusal {
    /// One of each kind, with an empty cause: for the documentation's test and for looking at the pages.
    pub fn samples() -> Vec<Self> {
        let cause = String::new;
        let mut all = vec![
            Self::BadTarget("the path holds an encoded slash"),
            Self::BadRequest("there are two Host headers"),
            Self::WrongHost,
            Self::Misdirected,
            Self::UnknownPage,
            Self::UnknownProvider,
            Self::NoRoute,
            Self::MethodNotAllowed { allow: "GET, HEAD" },
            Self::SignInRequired,
            Self::SessionEnded,
            Self::BodyTooLarge,
            Self::BodyStalled,
            Self::BodyMalformed { cause: cause() },
            Self::ExpectationFailed,
            Self::TunnelNotOffered,
            Self::AttemptMissing,
            Self::AttemptExpired,
            Self::AttemptForged,
            Self::StateMismatch,
            Self::AttemptUsed,
            Self::ParameterRepeated,
            Self::CallbackIncomplete,
            Self::IssuerMismatch,
            Self::CrossSite,
            Self::RedirectLoop,
            Self::WrongOrganization { cause: cause() },
            Self::UserTypeNotAllowed { cause: cause() },
            Self::InactiveUser { cause: cause() },
            Self::ProviderUnreachable { cause: cause() },
            Self::ProviderTimeout { cause: cause() },
        ];
        all.extend(ProviderDoubt::ALL.iter().map(|&doubt| Self::ProviderMisbehaved { doubt, cause: cause() }));
        all.extend(SamlDoubt::ALL.iter().map(|&doubt| Self::SamlDoubted { doubt, cause: cause() }));
        all.extend(SalesforceError::ALL.iter().map(|&error| Self::Salesforce { error, cause: cause() }));
        all.extend([
            Self::UpstreamUnreachable { cause: cause() },
            Self::UpstreamCertificate { cause: cause() },
            Self::UpstreamHandshake { cause: cause() },
            Self::UpstreamConnectTimeout { cause: cause() },
            Self::UpstreamFirstByteTimeout { cause: cause() },
            Self::UpstreamMisbehaved { cause: cause() },
            Self::UpstreamNoTunnel { cause: cause() },
            Self::UpstreamBusy { cause: cause() },
            Self::NoRandomness,
            Self::Overloaded { cause: cause() },
        ]);
        all
    }
}
