//! Anything at all, posted to the sign-in address: nothing crashes, and whoever gets in is the one who was signed.
//!
//! The fuzzer of `fuzz_targets/saml_response.rs` writes XML, and this puts it into base64; an ordinary test of
//! `tests/it/fuzz.rs` does the same with the vectors in `tests/saml/vectors`, so that it cannot go stale.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis::clock::Timestamp;
use portcullis::identity::saml::metadata::Metadata;
use portcullis::identity::saml::{
    Asked, Binding, Organization, OurKey, Query, Reauthentication, Requests, Settings, Unsolicited, consume,
};
use portcullis::identity::xmldsig::{Certificate, Sha1};
use portcullis::identity::{OrgId, ProviderName};

const ACS: &str = "https://wiki.example.com/.portcullis/saml/acs";
const NOW: Timestamp = Timestamp(1_790_000_000);

macro_rules! vector {
    ($name:literal) => {
        include_str!(concat!("../tests/saml/vectors/", $name))
    };
}

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let pem = [vector!("idp-rsa.crt.pem"), vector!("idp-p256.crt.pem"), vector!("idp-p384.crt.pem")].concat();
    Settings {
        name: ProviderName("salesforce".to_owned()),
        issuer: "https://acme.my.salesforce.com".to_owned(),
        sso_url: "https://idp.example/".parse().unwrap(),
        binding: Binding::Redirect,
        sign_out: None,
        certificates: Certificate::from_pem(&pem).unwrap(),
        entity_id: "https://wiki.example.com/.portcullis/saml/metadata".to_owned(),
        key: Some(Arc::new(OurKey::from_pem(vector!("sp.key.pem"), vector!("sp.crt.pem")).unwrap())),
        requests: Requests::Unsigned,
        reauthentication: Reauthentication::Unneeded,
        unsolicited: Unsolicited::Accepted,
        organization: Organization::Known(OrgId::parse("00D5g00000ABCDE").unwrap()),
        clock_skew: Duration::from_secs(60),
        sha1: Sha1::Refused,
    }
});

/// Judges anything; tells how often somebody got in.
pub fn judge(data: &[u8]) -> usize {
    let mut admitted = 0;
    for asked in [Some(Asked { id: "_our-question", at: NOW }), None] {
        if let Ok(consumed) = consume(&STANDARD.encode(data), Some("/"), asked, ACS, NOW, &SETTINGS) {
            assert!(consumed.identity.user.as_str().starts_with("0055g00000AbCdE"));
            assert_eq!(consumed.name_id.value, "ada@acme.example");
            assert_eq!(consumed.assertion_id, "_assertion");
            admitted += 1;
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = consume(text, Some(text), None, ACS, NOW, &SETTINGS);
        let _ = Query::read(text);
        let _ = Metadata::read(text);
    }
    admitted
}
