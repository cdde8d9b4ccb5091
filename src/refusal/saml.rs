//! What was wrong with a SAML message, and the words for it.
//!
//! Each doubt is one check that failed (SAML core sections 2 to 5, SAML profiles section 4.1.4). For the visitor all of
//! them mean the same; for the administrator each has its own thing to look at. Named by `identity::saml`, mapped
//! by `login`, called by `Refusal::entry`.

use hyper::StatusCode;

use super::{Entry, Onward};

/// Which check a SAML message failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SamlDoubt {
    /// The message is no base64 of UTF-8 XML.
    Unreadable,
    /// The message is too large, too deep, or holds what a SAML message never holds.
    TooMuch,
    /// Its elements are not where SAML puts them.
    Shape,
    /// Two elements have the same ID.
    DuplicateId,
    /// Its status says that nobody was signed in.
    Refused,
    /// It holds no assertion.
    NoAssertion,
    /// It holds more than one assertion.
    SeveralAssertions,
    /// Neither the response nor the assertion is signed.
    Unsigned,
    /// The signature has another shape than SAML allows.
    SignatureShape,
    /// The signature covers another element than the one it stands in.
    SignatureReference,
    /// The signature was made with SHA-1.
    SignatureSha1,
    /// The signature was made with an algorithm that is not accepted.
    SignatureAlgorithm,
    /// No configured certificate belongs to the signature.
    SignatureKey,
    /// What was signed was changed afterwards.
    SignatureDigest,
    /// The assertion is encrypted, and there is no key to open it.
    Encrypted,
    /// The encrypted assertion cannot be opened.
    Undecryptable,
    /// It was issued by another identity provider.
    Issuer,
    /// It was meant for another address.
    Destination,
    /// The assertion was meant for another address.
    Recipient,
    /// The assertion was meant for another service provider.
    Audience,
    /// It does not answer the question that this browser asked.
    InResponseTo,
    /// Nobody here asked for it.
    Unsolicited,
    /// It asks to go on to somewhere that is not a local path.
    RelayState,
    /// The assertion may not be presented by a browser.
    Confirmation,
    /// It is not valid yet.
    NotYet,
    /// It is no longer valid.
    Expired,
    /// One of its times is missing or cannot be read.
    Times,
    /// It has a condition that is not understood.
    Condition,
    /// It does not say that anybody authenticated.
    NoAuthentication,
    /// The person did not authenticate anew.
    NotAgain,
    /// The assertion names nobody.
    NameId,
    /// An attribute is missing, there twice, or cannot be read.
    Attribute,
    /// userId is no Salesforce user id.
    UserId,
    /// The organization's id is missing or cannot be read.
    Organization,
    /// It was used before.
    Replayed,
    /// It is no logout message that can be acted on.
    Logout,
}

impl SamlDoubt {
    /// Every doubt there is.
    pub const ALL: &'static [Self] = &[
        Self::Unreadable,
        Self::TooMuch,
        Self::Shape,
        Self::DuplicateId,
        Self::Refused,
        Self::NoAssertion,
        Self::SeveralAssertions,
        Self::Unsigned,
        Self::SignatureShape,
        Self::SignatureReference,
        Self::SignatureSha1,
        Self::SignatureAlgorithm,
        Self::SignatureKey,
        Self::SignatureDigest,
        Self::Encrypted,
        Self::Undecryptable,
        Self::Issuer,
        Self::Destination,
        Self::Recipient,
        Self::Audience,
        Self::InResponseTo,
        Self::Unsolicited,
        Self::RelayState,
        Self::Confirmation,
        Self::NotYet,
        Self::Expired,
        Self::Times,
        Self::Condition,
        Self::NoAuthentication,
        Self::NotAgain,
        Self::NameId,
        Self::Attribute,
        Self::UserId,
        Self::Organization,
        Self::Replayed,
        Self::Logout,
    ];

    pub(super) fn entry(self) -> Entry {
        let (code, administrator) = self.says();
        if self == Self::Unsolicited {
            return Entry {
                code,
                status: StatusCode::BAD_REQUEST,
                onward: Onward::SignIn,
                title: "Please begin here",
                happened: "You came from a link in Salesforce. Signing in begins at this site, not there, so nothing \
                           was done with what Salesforce sent along.",
                you: "Sign in from here; if you are signed in at Salesforce, it takes only a moment. Bookmark this \
                      site's own address.",
                administrator,
            };
        }
        Entry {
            code,
            status: StatusCode::BAD_REQUEST,
            onward: Onward::SignIn,
            title: "Salesforce's answer was not accepted",
            happened: "What the browser brought from Salesforce failed one of the checks that keep strangers out, so \
                       nobody was signed in.",
            you: "Sign in again. If it fails the same way, give your administrator the code and the request id.",
            administrator,
        }
    }

    /// The code, and what the administrator should check.
    #[deny(clippy::wildcard_enum_match_arm)]
    #[expect(clippy::too_many_lines, reason = "a table: one arm for each doubt")]
    fn says(self) -> (&'static str, &'static str) {
        match self {
            Self::Unreadable => (
                "saml_unreadable",
                "What arrived at the sign-in address is not a SAML message. Something on the way changed it, or \
                 somebody typed it by hand. Salesforce never sends this.",
            ),
            Self::TooMuch => (
                "saml_too_much",
                "The message is larger or deeper than any that Salesforce sends, or holds a document type, a \
                 comment, CDATA or a processing instruction. The log line says which. Messages like this are made \
                 by hand: keep the log line.",
            ),
            Self::Shape => (
                "saml_shape",
                "The message is not put together as SAML 2.0 says: something is missing, there twice, or in a place \
                 where only an attacker would put it. The log line says what. If Salesforce's own sign-in does \
                 this, report it with that line.",
            ),
            Self::DuplicateId => (
                "saml_duplicate_id",
                "Two elements of the message have the same ID, so that a signature could be meant for either. \
                 Salesforce never does this: keep the log line.",
            ),
            Self::Refused => (
                "saml_status",
                "Salesforce answered that it did not sign the person in. The log line has the status; the reason is \
                 in Salesforce under Setup, Identity Provider Event Log.",
            ),
            Self::NoAssertion => (
                "saml_no_assertion",
                "The message says nothing about anybody: it holds no assertion. Look at the Identity Provider Event \
                 Log in Salesforce Setup.",
            ),
            Self::SeveralAssertions => (
                "saml_several_assertions",
                "The message holds more than one assertion. Salesforce sends exactly one; somebody may have added \
                 another: keep the log line.",
            ),
            Self::Unsigned => (
                "saml_unsigned",
                "Neither the response nor its assertion is signed. Salesforce always signs; whoever sent this is \
                 not Salesforce.",
            ),
            Self::SignatureShape => (
                "saml_signature_shape",
                "The signature is put together in a way that SAML does not allow. The log line says how. Salesforce \
                 never does this: keep the log line.",
            ),
            Self::SignatureReference => (
                "saml_signature_reference",
                "The signature belongs to another part of the message than the one it stands in, as in a known \
                 attack (signature wrapping). Keep the log line.",
            ),
            Self::SignatureSha1 => (
                "saml_signature_weak",
                "The message was signed with SHA-1, which can be forged. In the app's SAML settings in Salesforce, \
                 set the signing algorithm for SAML messages to SHA256.",
            ),
            Self::SignatureAlgorithm => (
                "saml_signature_algorithm",
                "The message was signed with an algorithm that is not accepted. In the app's SAML settings in \
                 Salesforce, set the signing algorithm for SAML messages to SHA256.",
            ),
            Self::SignatureKey => (
                "saml_signature_key",
                "The message was not signed with the key of a configured certificate. Salesforce administrators \
                 exchange certificates about once a year: download the current one from the app or from Setup, \
                 Identity Provider, and put it beside the old one in certificate. Otherwise somebody else made the \
                 message.",
            ),
            Self::SignatureDigest => (
                "saml_signature_digest",
                "The message was signed by Salesforce, but changed afterwards. Check what stands between the \
                 browser and the gateway, and keep the log line.",
            ),
            Self::Encrypted => (
                "saml_encrypted",
                "The assertion is encrypted, and no private key is configured. Give the provider the key whose \
                 certificate was uploaded to Salesforce, or switch encryption off in the app's SAML settings.",
            ),
            Self::Undecryptable => (
                "saml_undecryptable",
                "The encrypted assertion cannot be opened with the configured key. Check that the certificate in \
                 the app's SAML settings is the one of that key, and that the algorithm is AES; CBC is opened only \
                 within a signed response, and 3DES and RSA 1.5 never.",
            ),
            Self::Issuer => (
                "saml_issuer",
                "The message was issued by another identity provider than the configured one. Set issuer to the \
                 Issuer that Salesforce shows on the app's page: usually https://NAME.my.salesforce.com, even when \
                 the login address is that of a site.",
            ),
            Self::Destination => (
                "saml_destination",
                "The message was meant for another address. In the app's SAML settings in Salesforce, the ACS URL \
                 must be exactly the one that `portcullis check` prints.",
            ),
            Self::Recipient => (
                "saml_recipient",
                "The assertion was meant for another address. In the app's SAML settings in Salesforce, the ACS URL \
                 must be exactly the one that `portcullis check` prints.",
            ),
            Self::Audience => (
                "saml_audience",
                "The assertion was meant for another service provider. In the app's SAML settings in Salesforce, \
                 the Entity Id must be exactly the one that `portcullis check` prints.",
            ),
            Self::InResponseTo => (
                "saml_in_response_to",
                "The message answers another sign-in than the one that this browser began. Now and then that is \
                 somebody who pressed Back; if it happens often, somebody may be passing on stolen messages.",
            ),
            Self::Unsolicited => (
                "saml_unsolicited",
                "The person came from a link in Salesforce, not from here, and this is not allowed. People should \
                 open the app's own address. To allow it, set allow_idp_initiated = true in the provider.",
            ),
            Self::RelayState => (
                "saml_relay_state",
                "The link in Salesforce names a start page elsewhere (RelayState). It must be a path on this host, \
                 such as /reports, or empty. Check the Start URL of the app in Salesforce.",
            ),
            Self::Confirmation => (
                "saml_confirmation",
                "The assertion holds no bearer confirmation that counts. The log line says why. Salesforce always \
                 sends one.",
            ),
            Self::NotYet => (
                "saml_not_yet",
                "The message is dated in the future. Check the clock of this server (NTP); clock_skew allows for a \
                 minute.",
            ),
            Self::Expired => (
                "saml_expired",
                "The message has expired. Check the clock of this server (NTP). Otherwise somebody waited for \
                 minutes on Salesforce's page, or presented an old message.",
            ),
            Self::Times => (
                "saml_times",
                "A time in the message is missing or not written as SAML says (UTC, with a Z). Salesforce never \
                 does this: keep the log line.",
            ),
            Self::Condition => (
                "saml_condition",
                "The assertion holds a condition that the gateway does not understand, so it cannot be relied on. \
                 The log line has its name.",
            ),
            Self::NoAuthentication => (
                "saml_no_authentication",
                "The assertion says who somebody is but not that they signed in (AuthnStatement). Salesforce always \
                 says it.",
            ),
            Self::NotAgain => (
                "saml_not_again",
                "The provider asks Salesforce to authenticate people anew (force_authn), but this person's sign-in \
                 there was older.",
            ),
            Self::NameId => (
                "saml_name_id",
                "The assertion has no readable NameID. Check the subject type in the app's SAML settings in \
                 Salesforce: with Federation ID, every user needs one.",
            ),
            Self::Attribute => (
                "saml_attribute",
                "One of the attributes that Salesforce always sends (userId, username, is_portal_user) is missing, \
                 there twice, or no text. The log line says which. Check the custom attributes of the app for one \
                 of the same name.",
            ),
            Self::UserId => (
                "saml_user_id",
                "The attribute userId is no Salesforce user id of 15 or 18 characters. Check the custom attributes \
                 of the app for one named userId.",
            ),
            Self::Organization => (
                "saml_organization",
                "The custom attribute that should hold the organization's id is missing or no such id. In the app's \
                 custom attributes in Salesforce, add it with the value $Organization.Id, or set organization in \
                 the provider.",
            ),
            Self::Replayed => (
                "saml_replayed",
                "The assertion was used before; each is good for one sign-in. Mostly somebody pressed Back or \
                 reloaded. If it happens often, somebody may be passing on stolen messages.",
            ),
            Self::Logout => (
                "saml_logout",
                "A logout message did not say whom it is about, or was no logout message. The log line says more.",
            ),
        }
    }
}
