//! What the pretend org spoils when it is told to, and at which check it is noticed.

use super::*;

#[tokio::test]
async fn every_benign_oddity_signs_in() {
    let org = org().await;
    let settings = settings(&org);
    for &mischief in SamlMischief::ALL.iter().filter(|mischief| mischief.is_benign()) {
        org.set(mischief);
        let consumed = outcome(&org, &settings, &people::ACCENTED).await;
        let consumed = consumed.unwrap_or_else(|fault| panic!("{}: {fault:?}", mischief.name()));
        assert_eq!(consumed.identity.user.as_str(), people::ACCENTED.user, "{}", mischief.name());
    }
}

/// The check that is to notice.
fn noticed_by(mischief: SamlMischief) -> Option<Reason> {
    use SamlMischief as M;
    match mischief {
        M::Unsigned => Some(Reason::Unsigned),
        M::ForeignKey | M::EmbeddedKey | M::BrokenSignature => Some(Reason::SignatureKey),
        M::HmacWithCertificate => Some(Reason::SignatureAlgorithm),
        M::Sha1Digest | M::Sha1Named => Some(Reason::SignatureSha1),
        M::EditedAfterSigning => Some(Reason::SignatureDigest),
        M::EmptyReference | M::MissingReference => Some(Reason::SignatureReference),
        M::TwoReferences | M::XpathTransform | M::CommentsKept | M::SignatureObject | M::TwoSignatures => {
            Some(Reason::SignatureShape)
        }
        M::SiblingSignature => Some(Reason::SignatureReference),
        M::Xsw1 | M::Xsw2 | M::Xsw4 | M::Xsw6 | M::Xsw7 | M::Xsw8 => Some(Reason::Shape),
        M::Xsw3 | M::Xsw5 | M::InjectedAssertion | M::TwoAssertions => Some(Reason::SeveralAssertions),
        M::DuplicateIds => Some(Reason::DuplicateId),
        M::WrongIssuer | M::WrongAssertionIssuer | M::MissingIssuer => Some(Reason::Issuer),
        M::WrongAudience | M::LongerAudience | M::MissingAudience | M::MissingConditions | M::AnotherRestriction => {
            Some(Reason::Audience)
        }
        M::WrongRecipient | M::MissingRecipient => Some(Reason::Recipient),
        M::WrongDestination | M::MissingDestination => Some(Reason::Destination),
        M::WrongInResponseTo | M::WrongConfirmation | M::Unsolicited => Some(Reason::InResponseTo),
        M::Expired | M::ConfirmationExpired | M::ConditionsExpired | M::SessionEnded => Some(Reason::Expired),
        M::NotYetValid | M::ConditionsNotYet | M::IssuedLater | M::AuthenticatedLater => Some(Reason::NotYet),
        M::ConfirmationEndless | M::MalformedTime => Some(Reason::Times),
        M::HolderOfKey | M::MissingConfirmation | M::ConfirmationBegins => Some(Reason::Confirmation),
        M::MissingStatement => Some(Reason::NoAuthentication),
        M::MissingNameId | M::EmptyNameId | M::MissingSubject => Some(Reason::NameId),
        M::MissingUserId
        | M::UserIdTwice
        | M::UserIdTwoValues
        | M::MissingUsername
        | M::MalformedPortalUser
        | M::AttributeTwice => Some(Reason::Attribute),
        M::MalformedUserId => Some(Reason::UserId),
        M::UnknownCondition => Some(Reason::Condition),
        M::WrongVersion => Some(Reason::Shape),
        M::StatusDenied | M::StatusDeniedWithAssertion => Some(Reason::Refused),
        M::MissingAssertion => Some(Reason::NoAssertion),
        M::CommentInNameId
        | M::CommentInAttribute
        | M::CdataInNameId
        | M::InstructionInNameId
        | M::EntityInNameId
        | M::ExternalEntity
        | M::DocumentType
        | M::EntityExpansion
        | M::DeepNesting
        | M::ManyAttributes
        | M::Oversized => Some(Reason::TooMuch),
        M::NotXml | M::NotBase64 | M::Deflated => Some(Reason::Unreadable),
        M::EmptyResponse => Some(Reason::Shape),
        _ => None,
    }
}

#[tokio::test]
async fn every_mischief_fails_at_the_check_that_it_was_made_for() {
    let org = org().await;
    let settings = settings(&org);
    let mut odd = Vec::new();
    let refused = |mischief: &&SamlMischief| !mischief.is_benign() && mischief.touches() == Touches::Response;
    for &mischief in SamlMischief::ALL.iter().filter(refused) {
        org.set(mischief);
        match outcome(&org, &settings, &people::STANDARD).await {
            Ok(_) => odd.push(format!("{}: accepted", mischief.name())),
            Err(fault) if noticed_by(mischief) == Some(fault.reason) => {}
            Err(fault) => odd.push(format!("{}: {fault:?}", mischief.name())),
        }
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
}

#[tokio::test]
async fn a_spoiled_form_has_other_fields() {
    let org = org().await;
    let settings = settings(&org);
    for (mischief, expected) in [
        (SamlMischief::ResponseTwice, vec!["SAMLResponse", "SAMLResponse", "RelayState=the-state"]),
        (SamlMischief::RelayStateChanged, vec!["SAMLResponse", "RelayState=etats-eht"]),
        (SamlMischief::RelayStateMissing, vec!["SAMLResponse"]),
        (SamlMischief::RelayStateTwice, vec!["SAMLResponse", "RelayState=the-state", "RelayState=another"]),
        (SamlMischief::RelayStateElsewhere, vec!["SAMLResponse", "RelayState=https://elsewhere.my.salesforce.com/"]),
    ] {
        assert_eq!(mischief.touches(), Touches::Form);
        org.set(mischief);
        Browser::new(&org).sign_in(&settings, &people::STANDARD).await;
        let describe = |(name, value): &(&str, String)| match *name {
            "SAMLResponse" => "SAMLResponse".to_owned(),
            name => format!("{name}={value}"),
        };
        assert_eq!(org.last_saml_form().unwrap().fields.iter().map(describe).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn spoiled_metadata_is_not_believed() {
    let org = org().await;
    let address = format!("{}{METADATA}", org.org_url());
    for &mischief in SamlMischief::ALL.iter().filter(|mischief| mischief.touches() == Touches::Metadata) {
        org.set(mischief);
        let Some(reply) = ask(&address, &[], None).await else {
            assert_eq!(mischief, SamlMischief::MetadataDown);
            continue;
        };
        let believed = Metadata::read(&reply.body).is_ok_and(|metadata| {
            metadata.entity_id == org.org_url() && metadata.valid_until.unwrap() > Timestamp::now()
        });
        assert!(!believed, "{}", mischief.name());
    }
}
