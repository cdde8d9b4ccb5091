//! Every way a request can be declined: its stable code, its status, its public words, and its log words.
//!
//! One closed set instead of strings at the call sites, so that the compiler lists what is still unexplained
//! and a test holds `docs/refusals.md` against it. Public words are fixed text: nothing that a provider, an app
//! or a browser sent is ever shown. Statuses follow RFC 9110 section 15; a user's mistake is never a 500.
//! Made by `gateway`, `login` and `proxy`; shown by `pages`.

mod browser;
pub mod doubt;
mod entry;
pub mod salesforce;
mod saml;
mod samples;
mod service;

use std::borrow::Cow;

use hyper::StatusCode;

pub use doubt::ProviderDoubt;
use entry::Entry;
pub use entry::{Onward, Words};
use salesforce::SalesforceError;
pub use saml::SamlDoubt;

use crate::http::BodyFault;

/// A request that was declined, and why. `cause` is for the log alone and never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", self.code(), self.cause())]
pub enum Refusal {
    /// The request target is not in the one form that we forward; the text reads on after a colon.
    BadTarget(&'static str),
    /// The head of the request is malformed or ambiguous; the text reads on after a colon.
    BadRequest(&'static str),
    /// The request names a host that this gateway does not serve (RFC 9110 section 7.4).
    WrongHost,
    /// The request names a host that its connection was not made for (RFC 9110 section 7.4).
    Misdirected,
    /// A path under our own prefix where there is nothing.
    UnknownPage,
    /// A sign-in was asked for by a provider that there is not.
    UnknownProvider,
    /// No route covers this host and path.
    NoRoute,
    /// A page of ours was asked with a method that it does not have; `allow` is the `Allow` header.
    MethodNotAllowed {
        /// The methods that the page has, such as `GET, HEAD`.
        allow: &'static str,
    },
    /// There is no session, and a redirect would not help: a program asked, or a form was sent.
    SignInRequired,
    /// The session ended while the request's body was under way to the app.
    SessionEnded,
    /// The request's body is beyond what this page takes.
    BodyTooLarge,
    /// The request's body stopped arriving.
    BodyStalled,
    /// The request's body can't be read.
    BodyMalformed {
        /// What is wrong with it.
        cause: String,
    },
    /// An `Expect` other than `100-continue`.
    ExpectationFailed,
    /// CONNECT, or an upgrade that we do not pass.
    TunnelNotOffered,
    /// The browser came back from the provider without the cookie of its login attempt.
    AttemptMissing,
    /// The login attempt is older than an attempt may be.
    AttemptExpired,
    /// The login attempt's cookie was not sealed by this gateway, or was changed.
    AttemptForged,
    /// `state` is missing, or is another attempt's.
    StateMismatch,
    /// The `state` or `code` of this callback was used before.
    AttemptUsed,
    /// A parameter that may appear once was sent more often (RFC 6749 section 3.1).
    ParameterRepeated,
    /// The callback holds neither a `code` nor an `error`.
    CallbackIncomplete,
    /// The callback names another issuer than the one asked (RFC 9207 section 2.4).
    IssuerMismatch,
    /// A form of ours was sent from another site.
    CrossSite,
    /// The browser bounced between the gateway and the provider without a session holding.
    RedirectLoop,

    /// The person belongs to an organization that is not on the list.
    WrongOrganization {
        /// Which organization and user.
        cause: String,
    },
    /// The person's user type is not on the list.
    UserTypeNotAllowed {
        /// Which type and user.
        cause: String,
    },
    /// The provider says that the user is not active.
    InactiveUser {
        /// Which user.
        cause: String,
    },

    /// The identity provider could not be reached.
    ProviderUnreachable {
        /// What went wrong on the way.
        cause: String,
    },
    /// The identity provider did not answer in time.
    ProviderTimeout {
        /// Which step took too long.
        cause: String,
    },
    /// The identity provider's answer failed a check.
    ProviderMisbehaved {
        /// Which check.
        doubt: ProviderDoubt,
        /// What was seen instead; never a token.
        cause: String,
    },
    /// A SAML message failed a check.
    SamlDoubted {
        /// Which check.
        doubt: SamlDoubt,
        /// What was seen instead; never the message.
        cause: String,
    },
    /// Salesforce said no, in its own words.
    Salesforce {
        /// Which of its errors.
        error: SalesforceError,
        /// The error as sent, cleaned for the log.
        cause: String,
    },

    /// The app could not be reached.
    UpstreamUnreachable {
        /// What went wrong on the way.
        cause: String,
    },
    /// The app's certificate is not believed.
    UpstreamCertificate {
        /// What is wrong with it.
        cause: String,
    },
    /// There is no TLS to be had with the app.
    UpstreamHandshake {
        /// What went wrong.
        cause: String,
    },
    /// The app did not accept the connection in time.
    UpstreamConnectTimeout {
        /// Which address, after how long.
        cause: String,
    },
    /// The app accepted the request but did not begin to answer in time.
    UpstreamFirstByteTimeout {
        /// Which address, after how long.
        cause: String,
    },
    /// The app's answer is not one that can be passed on.
    UpstreamMisbehaved {
        /// What was wrong with it.
        cause: String,
    },
    /// The app has no way for the tunnel that was asked for.
    UpstreamNoTunnel {
        /// Which way is missing.
        cause: String,
    },
    /// Every connection to the app is in use.
    UpstreamBusy {
        /// Which limit was reached.
        cause: String,
    },

    /// The system's random source failed, so no secret can be made.
    NoRandomness,
    /// The gateway is at one of its own limits.
    Overloaded {
        /// Which limit.
        cause: String,
    },
}

impl From<BodyFault> for Refusal {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::Malformed(malformed) => Self::BodyMalformed { cause: malformed.to_string() },
            BodyFault::Ended(_) => Self::SessionEnded,
            BodyFault::Broken(_) => Self::BodyStalled,
        }
    }
}

impl Refusal {
    /// The stable name of this kind, in snake case: on the page, in the log, in the metrics.
    pub fn code(&self) -> &'static str {
        self.entry().code
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.entry().status
    }

    /// What the page says.
    pub fn words(&self) -> Words {
        let Entry { title, happened, you, administrator, .. } = self.entry();
        let happened = match self.detail() {
            Some(detail) => Cow::Owned(format!("{happened} The reason: {detail}.")),
            None => Cow::Borrowed(happened),
        };
        Words { title, happened, you, administrator: Cow::Borrowed(administrator) }
    }

    /// The way on from here.
    pub fn onward(&self) -> Onward {
        self.entry().onward
    }

    /// The cause, for the log; may hold what a provider or an app said, so never for the page.
    #[deny(clippy::wildcard_enum_match_arm)]
    pub fn cause(&self) -> String {
        match self {
            Self::BadTarget(detail) | Self::BadRequest(detail) => (*detail).to_owned(),
            Self::WrongHost
            | Self::Misdirected
            | Self::UnknownPage
            | Self::UnknownProvider
            | Self::NoRoute
            | Self::MethodNotAllowed { .. }
            | Self::SignInRequired
            | Self::SessionEnded
            | Self::BodyTooLarge
            | Self::BodyStalled
            | Self::ExpectationFailed
            | Self::TunnelNotOffered
            | Self::AttemptMissing
            | Self::AttemptExpired
            | Self::AttemptForged
            | Self::StateMismatch
            | Self::AttemptUsed
            | Self::ParameterRepeated
            | Self::CallbackIncomplete
            | Self::IssuerMismatch
            | Self::CrossSite
            | Self::RedirectLoop
            | Self::NoRandomness => self.entry().happened.to_owned(),
            Self::BodyMalformed { cause }
            | Self::WrongOrganization { cause }
            | Self::UserTypeNotAllowed { cause }
            | Self::InactiveUser { cause }
            | Self::ProviderUnreachable { cause }
            | Self::ProviderTimeout { cause }
            | Self::ProviderMisbehaved { cause, .. }
            | Self::SamlDoubted { cause, .. }
            | Self::Salesforce { cause, .. }
            | Self::UpstreamUnreachable { cause }
            | Self::UpstreamCertificate { cause }
            | Self::UpstreamHandshake { cause }
            | Self::UpstreamConnectTimeout { cause }
            | Self::UpstreamFirstByteTimeout { cause }
            | Self::UpstreamMisbehaved { cause }
            | Self::UpstreamNoTunnel { cause }
            | Self::UpstreamBusy { cause }
            | Self::Overloaded { cause } => cause.clone(),
        }
    }

    /// Our own fixed detail that the page may show.
    fn detail(&self) -> Option<&'static str> {
        if let Self::BadTarget(detail) | Self::BadRequest(detail) = self { Some(detail) } else { None }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn entry(&self) -> Entry {
        match self {
            Self::BadTarget(_) => browser::BAD_TARGET,
            Self::BadRequest(_) => browser::BAD_REQUEST,
            Self::WrongHost => browser::WRONG_HOST,
            Self::Misdirected => browser::MISDIRECTED,
            Self::UnknownPage => browser::UNKNOWN_PAGE,
            Self::UnknownProvider => browser::UNKNOWN_PROVIDER,
            Self::NoRoute => browser::NO_ROUTE,
            Self::MethodNotAllowed { .. } => browser::METHOD_NOT_ALLOWED,
            Self::SignInRequired => browser::SIGN_IN_REQUIRED,
            Self::SessionEnded => browser::SESSION_ENDED,
            Self::BodyTooLarge => browser::BODY_TOO_LARGE,
            Self::BodyStalled => browser::BODY_STALLED,
            Self::BodyMalformed { .. } => browser::BODY_MALFORMED,
            Self::ExpectationFailed => browser::EXPECTATION_FAILED,
            Self::TunnelNotOffered => browser::TUNNEL_NOT_OFFERED,
            Self::AttemptMissing => browser::ATTEMPT_MISSING,
            Self::AttemptExpired => browser::ATTEMPT_EXPIRED,
            Self::AttemptForged => browser::ATTEMPT_FORGED,
            Self::StateMismatch => browser::STATE_MISMATCH,
            Self::AttemptUsed => browser::ATTEMPT_USED,
            Self::ParameterRepeated => browser::PARAMETER_REPEATED,
            Self::CallbackIncomplete => browser::CALLBACK_INCOMPLETE,
            Self::IssuerMismatch => browser::ISSUER_MISMATCH,
            Self::CrossSite => browser::CROSS_SITE,
            Self::RedirectLoop => browser::REDIRECT_LOOP,
            Self::WrongOrganization { .. } => service::WRONG_ORGANIZATION,
            Self::UserTypeNotAllowed { .. } => service::USER_TYPE_NOT_ALLOWED,
            Self::InactiveUser { .. } => service::INACTIVE_USER,
            Self::ProviderUnreachable { .. } => service::PROVIDER_UNREACHABLE,
            Self::ProviderTimeout { .. } => service::PROVIDER_TIMEOUT,
            Self::ProviderMisbehaved { doubt, .. } => doubt.entry(),
            Self::SamlDoubted { doubt, .. } => doubt.entry(),
            Self::Salesforce { error, .. } => error.entry(),
            Self::UpstreamUnreachable { .. } => service::UPSTREAM_UNREACHABLE,
            Self::UpstreamCertificate { .. } => service::UPSTREAM_CERTIFICATE,
            Self::UpstreamHandshake { .. } => service::UPSTREAM_HANDSHAKE,
            Self::UpstreamConnectTimeout { .. } => service::UPSTREAM_CONNECT_TIMEOUT,
            Self::UpstreamFirstByteTimeout { .. } => service::UPSTREAM_FIRST_BYTE_TIMEOUT,
            Self::UpstreamMisbehaved { .. } => service::UPSTREAM_MISBEHAVED,
            Self::UpstreamNoTunnel { .. } => service::UPSTREAM_NO_TUNNEL,
            Self::UpstreamBusy { .. } => service::UPSTREAM_BUSY,
            Self::NoRandomness => service::NO_RANDOMNESS,
            Self::Overloaded { .. } => service::OVERLOADED,
        }
    }
}

#[cfg(test)]
mod tests;
