//! What the "Identity Provider Event Log" says, and what the person is shown instead of an answer to the app.
//!
//! An error is shown at the org and stays there: no Response goes to the service provider (behaviour 30,
//! salesforce.md 6.7). Used by every endpoint of `emulator::saml`.

use hyper::StatusCode;

/// One line of the event log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A Response was sent.
    Success,
    /// `ForceAuthn` made somebody sign in again.
    ForcedAgain,
    /// The person's profile or permission sets do not allow the app.
    AppAccessDenied,
    /// The request cannot be read, or asks for what the app does not have.
    InvalidAuthnRequest,
    /// The request was meant for another endpoint.
    InvalidEndpoint,
    /// The request's signature is missing or wrong.
    InvalidSignature,
    /// No app has the request's entity id.
    InvalidServiceProvider,
    /// The app's settings do not fit what it is to do.
    InvalidSettings,
    /// The person has no federation id.
    NoFederationId,
    /// The person is not, or no longer, a user of this org.
    Unresolvable,
    /// Nothing could be made.
    Internal,
}

impl Event {
    /// As the event log spells it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::ForcedAgain => "ForceAuthNLogout",
            Self::AppAccessDenied => "AppAccessDenied",
            Self::InvalidAuthnRequest => "InvalidAuthnRequest",
            Self::InvalidEndpoint => "InvalidIdpEndpoint",
            Self::InvalidSignature => "InvalidSignature",
            Self::InvalidServiceProvider => "InvalidSp",
            Self::InvalidSettings => "InvalidSettings",
            Self::NoFederationId => "NoUserFedId",
            Self::Unresolvable => "UnableToResolve",
            Self::Internal => "InternalError",
        }
    }

    pub(in crate::emulator) fn status(self) -> StatusCode {
        match self {
            Self::AppAccessDenied | Self::NoFederationId | Self::Unresolvable => StatusCode::FORBIDDEN,
            Self::InvalidSettings | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub(in crate::emulator) fn words(self) -> &'static str {
        match self {
            Self::AppAccessDenied => "Your administrator has not given you this app. The app is not told.",
            Self::NoFederationId | Self::Unresolvable => {
                "This org cannot tell the app who you are. Ask your administrator. The app is not told."
            }
            _ => "The app sent you here with a request that this org does not accept, so it is not told either.",
        }
    }
}
