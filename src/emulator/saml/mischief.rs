//! Everything that an identity provider can do wrong with SAML, or merely oddly, each by name.
//!
//! Tests walk [`SamlMischief::ALL`] as they walk those of OpenID Connect: where it is benign the sign-in must
//! succeed, everywhere else nobody may get in. Some need something besides a plain sign-in in order to show
//! ([`SamlMischief::touches`]). Acted out by `spoil` (what is said), `seal` (how it is signed), `tamper` and `wrap`
//! (what becomes of it afterwards), `metadata` and `logout`.

use super::super::mischief::Harm;

/// What a mischief has its hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touches {
    /// The Response of any sign-in.
    Response,
    /// The form around the Response: the verifier of a Response does not see it, a whole gateway does.
    Form,
    /// The Response of an app with encryption; without one there is no Response at all.
    Encryption,
    /// The metadata, which only matters to who reads it.
    Metadata,
    /// What single logout sends.
    Logout,
}

macro_rules! mischief {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $touches:ident, $harm:ident;)+) => {
        /// One way to misbehave with SAML.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum SamlMischief {
            $($(#[doc = $doc])+ $variant,)+
        }

        const NAMED: &[(SamlMischief, &str, Touches, Harm)] =
            &[$((SamlMischief::$variant, $name, Touches::$touches, Harm::$harm),)+];

        impl SamlMischief {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
        }
    };
}

mischief! {
    // signatures
    /// Nothing is signed.
    Unsigned = "unsigned", Response, Refused;
    /// Signed by a key that nobody configured, under the right certificate.
    ForeignKey = "foreign-key", Response, Refused;
    /// Signed by a key that nobody configured, whose certificate comes along in `KeyInfo`.
    EmbeddedKey = "embedded-key", Response, Refused;
    /// HMAC-SHA256, the public certificate as the secret.
    HmacWithCertificate = "hmac-certificate", Response, Refused;
    /// One character of each signature is another.
    BrokenSignature = "broken-signature", Response, Refused;
    /// `NameID` and attributes were changed after signing.
    EditedAfterSigning = "edited-after-signing", Response, Refused;
    /// The digest is SHA-1, rightly computed and signed. (A signature by RSA-SHA1 cannot be made here: the library
    /// verifies but does not make them. Those in the tests come from another implementation.)
    Sha1Digest = "sha1-digest", Response, Refused;
    /// The signature says that it was made with RSA-SHA1.
    Sha1Named = "sha1-named", Response, Refused;
    /// The reference is empty: the whole document, whatever that is.
    EmptyReference = "empty-reference", Response, Refused;
    /// There is no reference's address at all.
    MissingReference = "missing-reference", Response, Refused;
    /// Two references in one signature.
    TwoReferences = "two-references", Response, Refused;
    /// A third transform, by XPath.
    XpathTransform = "xpath-transform", Response, Refused;
    /// Canonical XML that keeps comments.
    CommentsKept = "comments-kept", Response, Refused;
    /// `ds:Object` in the signature.
    SignatureObject = "signature-object", Response, Refused;
    /// Two signatures in one element.
    TwoSignatures = "two-signatures", Response, Refused;
    /// The assertion's signature stands beside the assertion instead of in it.
    SiblingSignature = "sibling-signature", Response, Refused;
    // wrapping ("On Breaking SAML", in the numbering that testers use)
    /// XSW 1: a Response of the attacker's, around a signature that holds the signed Response.
    Xsw1 = "xsw1", Response, Refused;
    /// XSW 2: the signed Response stands before its signature, in a Response of the attacker's.
    Xsw2 = "xsw2", Response, Refused;
    /// XSW 3: the attacker's assertion before the signed one.
    Xsw3 = "xsw3", Response, Refused;
    /// XSW 4: the attacker's assertion around the signed one.
    Xsw4 = "xsw4", Response, Refused;
    /// XSW 5: the attacker's assertion has the signature, and the signed one follows it.
    Xsw5 = "xsw5", Response, Refused;
    /// XSW 6: the attacker's assertion has the signature, and the signed one is in that.
    Xsw6 = "xsw6", Response, Refused;
    /// XSW 7: the attacker's assertion in `Extensions`.
    Xsw7 = "xsw7", Response, Refused;
    /// XSW 8: the attacker's assertion has the signature, and the signed one is in its `Object`.
    Xsw8 = "xsw8", Response, Refused;
    /// An assertion added to a Response after it was signed.
    InjectedAssertion = "injected-assertion", Response, Refused;
    /// Two assertions, both of them genuine.
    TwoAssertions = "two-assertions", Response, Refused;
    /// Response and Assertion have the same id.
    DuplicateIds = "duplicate-ids", Response, Refused;
    // what is said
    /// Both issuers are another company's My Domain.
    WrongIssuer = "wrong-issuer", Response, Refused;
    /// The assertion's issuer is another one than the Response's.
    WrongAssertionIssuer = "wrong-assertion-issuer", Response, Refused;
    /// The assertion has no issuer.
    MissingIssuer = "missing-issuer", Response, Refused;
    /// The audience is another app.
    WrongAudience = "wrong-audience", Response, Refused;
    /// The audience only begins like ours.
    LongerAudience = "longer-audience", Response, Refused;
    /// There is no audience.
    MissingAudience = "missing-audience", Response, Refused;
    /// The recipient is another address.
    WrongRecipient = "wrong-recipient", Response, Refused;
    /// There is no recipient.
    MissingRecipient = "missing-recipient", Response, Refused;
    /// The destination is another address.
    WrongDestination = "wrong-destination", Response, Refused;
    /// There is no destination.
    MissingDestination = "missing-destination", Response, Refused;
    /// It answers a request that was never sent.
    WrongInResponseTo = "wrong-in-response-to", Response, Refused;
    /// Only the confirmation answers a request that was never sent.
    WrongConfirmation = "wrong-confirmation", Response, Refused;
    /// It answers nothing: a sign-in that nobody asked for.
    Unsolicited = "unsolicited", Response, Refused;
    /// Everything ended an hour ago.
    Expired = "expired", Response, Refused;
    /// Everything begins an hour from now.
    NotYetValid = "not-yet-valid", Response, Refused;
    /// Only the conditions ended an hour ago.
    ConditionsExpired = "conditions-expired", Response, Refused;
    /// Only the conditions begin an hour from now.
    ConditionsNotYet = "conditions-not-yet", Response, Refused;
    /// Issued an hour from now, with times that have begun.
    IssuedLater = "issued-later", Response, Refused;
    /// The person will have signed in an hour from now.
    AuthenticatedLater = "authenticated-later", Response, Refused;
    /// The session ended an hour ago.
    SessionEnded = "session-ended", Response, Refused;
    /// The end is no time.
    MalformedTime = "malformed-time", Response, Refused;
    /// Only the confirmation ended an hour ago.
    ConfirmationExpired = "confirmation-expired", Response, Refused;
    /// The confirmation has no end.
    ConfirmationEndless = "confirmation-endless", Response, Refused;
    /// The confirmation has a beginning, which a bearer's may not have.
    ConfirmationBegins = "confirmation-begins", Response, Refused;
    /// The subject is confirmed by a key that the holder would have to show.
    HolderOfKey = "holder-of-key", Response, Refused;
    /// The subject is not confirmed at all.
    MissingConfirmation = "missing-confirmation", Response, Refused;
    /// There is no `AuthnStatement`: nobody signed in.
    MissingStatement = "missing-authn-statement", Response, Refused;
    /// There is no subject.
    MissingSubject = "missing-subject", Response, Refused;
    /// There are no conditions.
    MissingConditions = "missing-conditions", Response, Refused;
    /// A second restriction of the audience, to another app.
    AnotherRestriction = "another-restriction", Response, Refused;
    /// `NameID` is empty.
    EmptyNameId = "empty-name-id", Response, Refused;
    /// There is no `NameID`.
    MissingNameId = "missing-name-id", Response, Refused;
    /// There is no `userId`.
    MissingUserId = "missing-user-id", Response, Refused;
    /// `userId` is no id.
    MalformedUserId = "malformed-user-id", Response, Refused;
    /// `userId` is there twice, the second a colleague's.
    UserIdTwice = "user-id-twice", Response, Refused;
    /// `userId` has two values, the second a colleague's.
    UserIdTwoValues = "user-id-two-values", Response, Refused;
    /// There is no `username`.
    MissingUsername = "missing-username", Response, Refused;
    /// `is_portal_user` is neither true nor false.
    MalformedPortalUser = "malformed-portal-user", Response, Refused;
    /// A custom attribute is there twice.
    AttributeTwice = "attribute-twice", Response, Refused;
    /// A condition that nobody knows.
    UnknownCondition = "unknown-condition", Response, Refused;
    /// SAML 1.1.
    WrongVersion = "wrong-version", Response, Refused;
    /// The status is a refusal, and there is no assertion.
    StatusDenied = "status-denied", Response, Refused;
    /// The status is a refusal, and there is an assertion all the same.
    StatusDeniedWithAssertion = "status-denied-with-assertion", Response, Refused;
    /// The status is a success, and there is no assertion.
    MissingAssertion = "missing-assertion", Response, Refused;
    // text
    /// A comment within a signed `NameID`, behind which somebody else's name goes on.
    CommentInNameId = "comment-in-name-id", Response, Refused;
    /// The same in an attribute.
    CommentInAttribute = "comment-in-attribute", Response, Refused;
    /// `NameID` is a CDATA section.
    CdataInNameId = "cdata-in-name-id", Response, Refused;
    /// A processing instruction within `NameID`.
    InstructionInNameId = "instruction-in-name-id", Response, Refused;
    /// `NameID` is an entity of the document's own type.
    EntityInNameId = "entity-in-name-id", Response, Refused;
    /// `NameID` is an entity that stands for a file.
    ExternalEntity = "external-entity", Response, Refused;
    /// An empty document type.
    DocumentType = "document-type", Response, Refused;
    /// Entities of entities of entities.
    EntityExpansion = "entity-expansion", Response, Refused;
    /// Twenty thousand levels.
    DeepNesting = "deep-nesting", Response, Refused;
    /// Ten thousand attributes on one element.
    ManyAttributes = "many-attributes", Response, Refused;
    /// Ten megabytes.
    Oversized = "oversized", Response, Refused;
    /// Not XML.
    NotXml = "not-xml", Response, Refused;
    /// Not base64.
    NotBase64 = "not-base64", Response, Refused;
    /// Deflated, as only the other binding has it.
    Deflated = "deflated", Response, Refused;
    /// A Response with nothing in it.
    EmptyResponse = "empty-response", Response, Refused;
    // form
    /// `SAMLResponse` is there twice.
    ResponseTwice = "response-twice", Form, Refused;
    /// `RelayState` comes back changed.
    RelayStateChanged = "relay-state-changed", Form, Refused;
    /// `RelayState` does not come back.
    RelayStateMissing = "relay-state-missing", Form, Refused;
    /// `RelayState` comes back twice.
    RelayStateTwice = "relay-state-twice", Form, Refused;
    /// `RelayState` is an address elsewhere.
    RelayStateElsewhere = "relay-state-elsewhere", Form, Refused;
    // encryption
    /// Encrypted to somebody else.
    EncryptedToStranger = "encrypted-to-stranger", Encryption, Refused;
    /// One character of what was encrypted is another.
    EncryptedBroken = "encrypted-broken", Encryption, Refused;
    /// AES-CBC with no signature around it, which is a padding oracle (SAML errata E93).
    EncryptedCbcUnsigned = "encrypted-cbc-unsigned", Encryption, Refused;
    // metadata
    /// A page for people.
    MetadataHtml = "metadata-html", Metadata, Refused;
    /// The connection closes without an answer.
    MetadataDown = "metadata-down", Metadata, Refused;
    /// Another company's.
    MetadataWrongEntity = "metadata-wrong-entity", Metadata, Refused;
    /// No longer valid.
    MetadataStale = "metadata-stale", Metadata, Refused;
    /// Without a certificate.
    MetadataWithoutKey = "metadata-without-key", Metadata, Refused;
    // single logout
    /// Nothing is signed.
    LogoutUnsigned = "logout-unsigned", Logout, Refused;
    /// Signed by a key that nobody configured.
    LogoutForeignKey = "logout-foreign-key", Logout, Refused;
    /// The issuer is another company's My Domain.
    LogoutWrongIssuer = "logout-wrong-issuer", Logout, Refused;
    /// The destination is another address.
    LogoutWrongDestination = "logout-wrong-destination", Logout, Refused;
    /// Sent an hour ago, and ended since.
    LogoutExpired = "logout-expired", Logout, Refused;
    // odd, and right
    /// Only the Response is signed, as in older orgs (behaviour 29).
    ResponseSigned = "response-signed", Response, Benign;
    /// Only the Assertion is signed.
    AssertionSigned = "assertion-signed", Response, Benign;
    /// `&#13;` before every newline of a signature, as in Summer '22 (salesforce.md 6.8).
    CarriageReturns = "carriage-returns", Response, Benign;
    /// Signatures in one line each.
    OneLine = "one-line", Response, Benign;
    /// The signature brings no certificate.
    MissingKeyInfo = "missing-key-info", Response, Benign;
    /// The signature brings a stranger's certificate, and was made with the right key all the same.
    StrangeKeyInfo = "strange-key-info", Response, Benign;
    /// Exclusive canonical XML without a prefix list.
    PlainCanonical = "plain-canonical", Response, Benign;
    /// `NotBefore` is the moment of issue, as in 2010.
    NotBeforeNow = "not-before-now", Response, Benign;
    /// The org's clock is half a minute ahead of ours.
    ClockAhead = "clock-ahead", Response, Benign;
    /// The org's clock is half a minute behind ours.
    ClockBehind = "clock-behind", Response, Benign;
    /// A session index, as with single logout.
    SessionIndex = "session-index", Response, Benign;
    /// Two audiences, ours the second.
    TwoAudiences = "two-audiences", Response, Benign;
    /// `userId` in 18 characters.
    LongUserId = "long-user-id", Response, Benign;
    /// An attribute with three values, and one with none.
    ManyValues = "many-values", Response, Benign;
    /// The `SAMLResponse` itself is wrapped base64.
    WrappedResponse = "wrapped-response", Response, Benign;
    /// The session will end an hour from now.
    SessionEnds = "session-ends", Response, Benign;
    /// The person signed in an hour ago. (Refused where `ForceAuthn` was asked.)
    AuthenticatedEarlier = "authenticated-earlier", Response, Benign;
    /// Two confirmations, the first of which is somebody else's to use.
    TwoConfirmations = "two-confirmations", Response, Benign;
    /// A condition that everybody knows.
    OneTimeUse = "one-time-use", Response, Benign;
    /// Spaces and newlines between elements, signed as they are.
    Indented = "indented", Response, Benign;
    /// Neither attribute values nor issuers say more than they must.
    Untyped = "untyped", Response, Benign;
    /// No XML declaration.
    Undeclared = "undeclared", Response, Benign;
}

impl SamlMischief {
    /// Its name, as `FromStr` of `Mischief` reads it behind `saml:`.
    pub fn name(self) -> &'static str {
        NAMED.iter().find(|named| named.0 == self).map_or("", |named| named.1)
    }

    /// What it has its hands on.
    pub fn touches(self) -> Touches {
        NAMED.iter().find(|named| named.0 == self).map_or(Touches::Response, |named| named.2)
    }

    /// Whether a sign-in must succeed nevertheless.
    pub fn is_benign(self) -> bool {
        NAMED.iter().any(|named| named.0 == self && named.3 == Harm::Benign)
    }
}
