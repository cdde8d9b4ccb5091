//! Answers that xmlsec1 and openssl signed and encrypted (`tests/saml/vectors.py` makes them): each file's name begins
//! with what must become of it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::super::trial::*;
use super::super::*;
use crate::identity::UserId;
use crate::identity::xmldsig::{BadCertificate, BadKey, Certificate, Sha1, SigningKey};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/saml/vectors")
}

fn file(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

fn theirs() -> Settings {
    let mut settings = settings();
    let names = ["idp-rsa.crt.pem", "idp-p256.crt.pem", "idp-p384.crt.pem"];
    settings.certificates = names.iter().flat_map(|name| Certificate::from_pem(&file(name)).unwrap()).collect();
    settings.key = Some(Arc::new(OurKey::from_pem(&file("sp.key.pem"), &file("sp.crt.pem")).unwrap()));
    settings
}

fn vectors() -> Vec<(String, String)> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = files.filter_map(|name| name.strip_suffix(".xml").map(str::to_owned));
    names.map(|name| (file(&format!("{name}.xml")), name)).map(|(xml, name)| (name, xml)).collect()
}

#[test]
fn what_others_signed_is_judged_as_its_name_says() {
    let vectors = vectors();
    assert!(vectors.len() > 20);
    for (name, xml) in vectors {
        let judged = judge_by(&theirs(), &xml);
        match name.split('-').next().unwrap() {
            "good" => {
                let identity = judged.unwrap_or_else(|fault| panic!("{name}: {fault}")).identity;
                assert_eq!(identity.user, UserId::parse(USER).unwrap());
                let roles = json!(["a & b", "<c>\r", "d\n\t\u{e9}\u{1f600}"]);
                assert_eq!(identity.claims["custom_attributes"]["roles"], roles, "{name}");
            }
            "undecryptable" => assert_eq!(judged.unwrap_err().reason, Reason::Undecryptable, "{name}"),
            "sha1" => assert_eq!(judged.unwrap_err().reason, Reason::SignatureSha1, "{name}"),
            "shape" => assert_eq!(judged.unwrap_err().reason, Reason::SignatureShape, "{name}"),
            "digest" => assert_eq!(judged.unwrap_err().reason, Reason::SignatureDigest, "{name}"),
            other => panic!("{other} says nothing"),
        }
    }
}

#[test]
fn another_verifier_calls_good_whatever_is_accepted() {
    let mut settings = theirs();
    settings.sha1 = Sha1::DangerouslyBelieved;
    let mut judged = (0, 0);
    for (name, xml) in vectors() {
        if judge_by(&settings, &xml).is_ok() {
            let signatures = oracle::vouches(&xml, &settings).unwrap_or_else(|words| panic!("{name}: {words}"));
            assert!(signatures > 0, "{name}");
            judged = (judged.0 + 1, judged.1 + signatures);
        }
    }
    assert_eq!(judged, (18, 30), "answers and signatures");
}

#[test]
fn sha1_is_believed_only_where_the_operator_wrote_dangerous() {
    let mut settings = theirs();
    settings.sha1 = Sha1::DangerouslyBelieved;
    for (name, xml) in vectors().into_iter().filter(|(name, _)| name.starts_with("sha1")) {
        judge_by(&settings, &xml).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    }
}

#[test]
fn a_key_of_another_kind_does_not_verify() {
    for (name, xml) in vectors().into_iter().filter(|(name, _)| name.starts_with("good")) {
        let mut settings = theirs();
        let own = match name.as_str() {
            "good-ecdsa-p256" => 1,
            "good-ecdsa-p384" => 2,
            _ => 0,
        };
        settings.certificates.remove(own);
        let reason = judge_by(&settings, &xml).unwrap_err().reason;
        assert_eq!(reason, Reason::SignatureKey, "{name}");
    }
}

#[test]
fn only_certificates_that_can_be_believed_are_taken() {
    assert_eq!(Certificate::from_pem(""), Err(BadCertificate::None));
    assert_eq!(Certificate::from_pem(&file("sp.key.pem")), Err(BadCertificate::None));
    let broken = file("sp.crt.pem").replace("MII", "AAA");
    assert_eq!(Certificate::from_pem(&broken), Err(BadCertificate::Unreadable));
    assert_eq!(Certificate::from_pem(&(file("sp.crt.pem") + &file("idp-rsa.crt.pem"))).map(|all| all.len()), Ok(2));
    let signed = |key: &rcgen::KeyPair| {
        let certificate = rcgen::CertificateParams::new(["x".to_owned()]).unwrap().self_signed(key).unwrap();
        Certificate::from_der(certificate.der()).map(|certificate| certificate.validity().not_after > NOW)
    };
    let of = |algorithm| rcgen::KeyPair::generate_for(algorithm).unwrap();
    assert_eq!(signed(&of(&rcgen::PKCS_ECDSA_P384_SHA384)), Ok(true));
    assert_eq!(signed(&of(&rcgen::PKCS_ED25519)), Err(BadCertificate::Kind));
    assert_eq!(signed(&of(&rcgen::PKCS_ECDSA_P521_SHA512)), Err(BadCertificate::Kind));
}

#[test]
fn only_rsa_keys_are_taken_for_our_own() {
    assert!(SigningKey::from_pem(&file("sp.key.pem")).is_ok());
    for text in ["", &file("sp.crt.pem"), &rcgen::KeyPair::generate().unwrap().serialize_pem()] {
        assert_eq!(SigningKey::from_pem(text).err(), Some(BadKey), "{text}");
    }
    let debug = format!("{:?}", theirs().key.unwrap());
    assert!(!debug.contains("PRIVATE") && debug.len() < 400, "{debug}");
}
