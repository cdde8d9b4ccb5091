//! A pretend identity provider for the unit tests of this family: answers to be signed, bent and broken.
//!
//! Each part of a [`Draft`] is text, because most tests want a wrong one. Called by the tests of `saml`.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use url::Url;

use super::*;
use crate::clock::Timestamp;
use crate::identity::xmldsig::{ASSERTION, Certificate, Lines, PROTOCOL, Sha1, Shape, SigningKey, sign_enveloped};
use crate::identity::{OrgId, ProviderName};

pub(super) const NOW: Timestamp = Timestamp(1_790_000_000);
pub(super) const ISSUER: &str = "https://acme.my.salesforce.com";
pub(super) const US: &str = "https://wiki.example.com/.portcullis/saml/metadata";
pub(super) const ACS: &str = "https://wiki.example.com/.portcullis/saml/acs";
pub(super) const SLO: &str = "https://wiki.example.com/.portcullis/saml/logout";
pub(super) const ASKED: &str = "_our-question";
pub(super) const ORG: &str = "00D5g00000ABCDE";
pub(super) const USER: &str = "0055g00000AbCdE";
/// Somebody whom an attacker would like to be.
pub(super) const VICTIM: &str = "0055g00000Victi";

/// A key and a certificate of it.
pub(super) struct Pair {
    pub(super) key: SigningKey,
    pub(super) certificate: Certificate,
    pub(super) key_pem: String,
    pub(super) certificate_pem: String,
}

pub(super) static IDP: LazyLock<Pair> = LazyLock::new(Pair::generate);
pub(super) static FORGER: LazyLock<Pair> = LazyLock::new(Pair::generate);
pub(super) static OURS: LazyLock<Pair> = LazyLock::new(Pair::generate);

impl Pair {
    fn generate() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let certificate = rcgen::CertificateParams::new(["acme".to_owned()]).unwrap().self_signed(&pair).unwrap();
        Self {
            key: SigningKey::from_pem(&pair.serialize_pem()).unwrap(),
            certificate: Certificate::from_der(certificate.der()).unwrap(),
            key_pem: pair.serialize_pem(),
            certificate_pem: certificate.pem(),
        }
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        name: ProviderName("salesforce".into()),
        issuer: ISSUER.into(),
        sso_url: Url::parse("https://acme.my.site.com/idp/endpoint/HttpRedirect").unwrap(),
        binding: Binding::Redirect,
        sign_out: Some(SignOut {
            url: Url::parse("https://acme.my.salesforce.com/services/auth/idp/saml2/logout").unwrap(),
            binding: Binding::Redirect,
        }),
        certificates: vec![IDP.certificate.clone()],
        entity_id: US.into(),
        key: Some(Arc::new(OurKey::from_pem(&OURS.key_pem, &OURS.certificate_pem).unwrap())),
        requests: Requests::Unsigned,
        reauthentication: Reauthentication::Unneeded,
        unsolicited: Unsolicited::Refused,
        organization: Organization::Known(OrgId::parse(ORG).unwrap()),
        clock_skew: Duration::from_secs(60),
        sha1: Sha1::Refused,
    }
}

/// An answer, part by part.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) response_id: String,
    pub(super) assertion_id: String,
    /// Attributes of the Response, from `Version` on.
    pub(super) response: String,
    pub(super) response_issuer: String,
    pub(super) status: String,
    /// Attributes of the Assertion, from `Version` on.
    pub(super) assertion: String,
    pub(super) issuer: String,
    pub(super) name_id: String,
    pub(super) confirmation: String,
    pub(super) conditions: String,
    pub(super) statement: String,
    pub(super) attributes: String,
}

/// Which parts are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    Both,
    Response,
    Assertion,
}

pub(super) fn at(offset: i64) -> String {
    write_time(Timestamp(NOW.0.checked_add_signed(offset).unwrap())).replace('Z', ".123Z")
}

pub(super) fn attribute(name: &str, values: &[&str]) -> String {
    let unspecified = "urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified";
    let values: String = values
        .iter()
        .map(|value| {
            format!(
                "<saml:AttributeValue xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" \
                 xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"xs:anyType\">{value}</saml:AttributeValue>"
            )
        })
        .collect();
    format!("<saml:Attribute Name=\"{name}\" NameFormat=\"{unspecified}\">{values}</saml:Attribute>")
}

pub(super) fn issuer(text: &str) -> String {
    format!(
        "<saml:Issuer xmlns:saml=\"{ASSERTION}\" Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:entity\">{text}</saml:Issuer>"
    )
}

impl Draft {
    /// What Salesforce answers (salesforce.md 6.4).
    pub(super) fn new() -> Self {
        Self {
            response_id: "_2f0a1790000000123".into(),
            assertion_id: "_3e1b1790000000124".into(),
            response: format!(
                "Version=\"2.0\" IssueInstant=\"{}\" Destination=\"{ACS}\" InResponseTo=\"{ASKED}\"",
                at(-1)
            ),
            response_issuer: issuer(ISSUER),
            status: "<samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/>".into(),
            assertion: format!("Version=\"2.0\" IssueInstant=\"{}\"", at(-1)),
            issuer: issuer(ISSUER),
            name_id: format!("<saml:NameID Format=\"{UNSPECIFIED}\">ada@acme.example</saml:NameID>"),
            confirmation: format!(
                "<saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
                 <saml:SubjectConfirmationData InResponseTo=\"{ASKED}\" NotOnOrAfter=\"{}\" Recipient=\"{ACS}\"/>\
                 </saml:SubjectConfirmation>",
                at(299)
            ),
            conditions: format!(
                "<saml:Conditions NotBefore=\"{}\" NotOnOrAfter=\"{}\"><saml:AudienceRestriction>\
                 <saml:Audience>{US}</saml:Audience></saml:AudienceRestriction></saml:Conditions>",
                at(-31),
                at(299)
            ),
            statement: format!(
                "<saml:AuthnStatement AuthnInstant=\"{}\"><saml:AuthnContext><saml:AuthnContextClassRef>\
                 urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext>\
                 </saml:AuthnStatement>",
                at(-1)
            ),
            attributes: [
                attribute("userId", &[USER]),
                attribute("username", &["ada@acme.example"]),
                attribute("email", &["ada@mail.example"]),
                attribute("is_portal_user", &["false"]),
            ]
            .concat(),
        }
    }

    /// The same about another person, under other ids.
    pub(super) fn evil() -> Self {
        let mut draft = Self::new();
        draft.response_id = "_evil-response".into();
        draft.assertion_id = "_evil-assertion".into();
        draft.name_id = draft.name_id.replace("ada", "victim");
        draft.attributes = draft.attributes.replace("ada", "victim").replace(USER, VICTIM);
        draft
    }

    pub(super) fn assertion_xml(&self) -> String {
        let Self { assertion_id, assertion, issuer, name_id, confirmation, conditions, statement, attributes, .. } =
            self;
        format!(
            "<saml:Assertion xmlns:saml=\"{ASSERTION}\" ID=\"{assertion_id}\" {assertion}>{issuer}<saml:Subject>\
             {name_id}{confirmation}</saml:Subject>{conditions}{statement}<saml:AttributeStatement>{attributes}\
             </saml:AttributeStatement></saml:Assertion>"
        )
    }

    pub(super) fn around(&self, inside: &str) -> String {
        let Self { response_id, response, response_issuer, status, .. } = self;
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><samlp:Response xmlns:samlp=\"{PROTOCOL}\" ID=\"{response_id}\" \
             {response}>{response_issuer}<samlp:Status>{status}</samlp:Status>{inside}</samlp:Response>"
        )
    }

    pub(super) fn xml(&self) -> String {
        self.around(&self.assertion_xml())
    }

    pub(super) fn signed_by(&self, pair: &Pair, which: Signed) -> String {
        let mut xml = self.xml();
        if matches!(which, Signed::Both | Signed::Assertion) {
            xml = sign(&xml, &self.assertion_id, pair, "ds saml xs xsi");
        }
        if matches!(which, Signed::Both | Signed::Response) {
            xml = sign(&xml, &self.response_id, pair, "ds saml samlp xs xsi");
        }
        xml
    }

    pub(super) fn signed(&self, which: Signed) -> String {
        self.signed_by(&IDP, which)
    }
}

pub(super) fn sign(xml: &str, id: &str, pair: &Pair, prefixes: &str) -> String {
    let shape = Shape { prefixes, lines: Lines::Wrapped, certificate: Some(&pair.certificate) };
    sign_enveloped(xml, id, &pair.key, &shape).unwrap()
}

/// What the gateway makes of an answer to its question.
pub(super) fn judge_by(settings: &Settings, xml: &str) -> Result<Consumed, Fault> {
    let asked = Asked { id: ASKED, at: NOW };
    consume(&STANDARD.encode(xml), Some("state"), Some(asked), ACS, NOW, settings)
}

pub(super) fn judge(xml: &str) -> Result<Consumed, Fault> {
    judge_by(&settings(), xml)
}

/// Why an answer is refused.
pub(super) fn reason(xml: &str) -> Reason {
    judge(xml).expect_err("nobody may come in by this").reason
}
