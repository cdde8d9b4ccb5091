//! Attacks, each by the name that it is known by. Nobody gets in by any of them.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};

use super::super::trial::*;
use super::super::*;
use crate::identity::xmldsig::{self, Cipher, DSIG, MAX_SIZE, Sha1, encrypt_assertion};

mod wrapping;

/// The text from one mark to the end of another.
fn cut<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let start = text.find(from).unwrap();
    &text[start..start + text[start..].find(to).unwrap() + to.len()]
}

fn signature(xml: &str) -> &str {
    cut(xml, "<ds:Signature ", "</ds:Signature>")
}

fn without_declaration(xml: &str) -> &str {
    xml.split_once("?>").unwrap().1
}

/// An assertion that the identity provider signed, its signature, and the assertion without it.
fn stolen() -> (String, String, String) {
    let xml = Draft::new().signed(Signed::Assertion);
    let assertion = cut(&xml, "<saml:Assertion", "</saml:Assertion>").to_owned();
    let signature = signature(&assertion).to_owned();
    let bare = assertion.replace(&signature, "");
    (assertion, signature, bare)
}

/// An assertion that the attacker wrote, with something put in behind its issuer.
fn forged(inside: &str) -> String {
    let assertion = Draft::evil().assertion_xml();
    assertion.replacen("</saml:Issuer>", &format!("</saml:Issuer>{inside}"), 1)
}

fn into_object(signature: &str, hidden: &str) -> String {
    signature.replace("</ds:Signature>", &format!("<ds:Object>{hidden}</ds:Object></ds:Signature>"))
}

fn response_around(inside: &str) -> String {
    Draft::new().around(inside)
}

/// A response that the identity provider signed, its signature, and the response without it.
fn stolen_response() -> (String, String, String) {
    let xml = Draft::new().signed(Signed::Response);
    let signature = signature(&xml).to_owned();
    let bare = without_declaration(&xml.replace(&signature, "")).to_owned();
    (xml, signature, bare)
}

fn forged_response(inside: &str) -> String {
    Draft::evil().xml().replacen("</saml:Issuer>", &format!("</saml:Issuer>{inside}"), 1)
}

#[test]
fn an_unsigned_response_is_refused() {
    assert_eq!(reason(&Draft::evil().xml()), Reason::Unsigned);
}

#[test]
fn an_assertion_injected_into_a_signed_response_is_refused() {
    let (xml, ..) = stolen_response();
    let injected = xml.replace("</samlp:Response>", &format!("{}</samlp:Response>", forged("")));
    assert_eq!(reason(&injected), Reason::SeveralAssertions);
    let exchanged = xml.replace(cut(&xml, "<saml:Assertion", "</saml:Assertion>"), &forged(""));
    assert_eq!(reason(&exchanged), Reason::SignatureDigest);
}

#[test]
fn a_forged_assertion_beside_an_encrypted_one_is_refused() {
    let draft = Draft::new();
    let sealed = encrypt_assertion(&draft.signed(Signed::Assertion), &OURS.certificate, Cipher::Aes128Gcm).unwrap();
    let both = sealed.replace("</samlp:Response>", &format!("{}</samlp:Response>", forged("")));
    assert_eq!(reason(&both), Reason::SeveralAssertions);
}

#[test]
fn duplicate_ids_are_refused() {
    let mut draft = Draft::new();
    draft.assertion_id = draft.response_id.clone();
    assert_eq!(reason(&draft.xml()), Reason::DuplicateId);
    let xml = Draft::new().signed(Signed::Both);
    let id = Draft::new().assertion_id;
    for name in ["ID", "Id", "id", "xml:id"] {
        let twin = xml.replacen("<saml:Subject>", &format!("<saml:Subject {name}=\"{id}\">"), 1);
        assert_eq!(reason(&twin), Reason::DuplicateId, "{name}");
    }
}

#[test]
fn a_signature_over_a_sibling_is_refused() {
    let mut draft = Draft::new();
    draft.conditions = draft.conditions.replace("<saml:Conditions ", "<saml:Conditions ID=\"_sibling\" ");
    let xml = sign(&draft.xml(), "_sibling", &IDP, "");
    let signature = signature(&xml).to_owned();
    let moved = xml.replace(&signature, "");
    let moved = moved.replacen("</saml:Issuer><saml:Subject>", &format!("</saml:Issuer>{signature}<saml:Subject>"), 1);
    assert_ne!(moved, xml);
    assert_eq!(reason(&moved), Reason::SignatureReference);
    assert_eq!(reason(&xml), Reason::Shape);
}

#[test]
fn references_to_anything_else_are_refused() {
    let xml = Draft::new().signed(Signed::Assertion);
    let id = Draft::new().assertion_id;
    for uri in ["", "#", &id, "#xpointer(/)", "#_other", "idp.crt", "file:///etc/passwd", "https://evil.example/"] {
        let other = xml.replace(&format!("URI=\"#{id}\""), &format!("URI=\"{uri}\""));
        assert_eq!(reason(&other), Reason::SignatureReference, "{uri}");
    }
    assert_eq!(reason(&xml.replace(&format!(" URI=\"#{id}\""), "")), Reason::SignatureReference);
}

#[test]
fn a_signature_by_the_certificate_that_it_brings_is_refused() {
    for which in [Signed::Both, Signed::Response, Signed::Assertion] {
        let xml = Draft::evil().signed_by(&FORGER, which);
        assert!(xml.contains("X509Certificate"));
        assert_eq!(reason(&xml), Reason::SignatureKey);
    }
}

#[test]
fn one_bad_signature_spoils_a_good_one() {
    let draft = Draft::new();
    let inner = sign(&draft.xml(), &draft.assertion_id, &FORGER, "");
    assert_eq!(reason(&sign(&inner, &draft.response_id, &IDP, "")), Reason::SignatureKey);
    let inner = sign(&draft.xml(), &draft.assertion_id, &IDP, "");
    assert_eq!(reason(&sign(&inner, &draft.response_id, &FORGER, "")), Reason::SignatureKey);
}

#[test]
fn an_hmac_with_the_public_key_is_refused() {
    let xml = Draft::evil().signed(Signed::Assertion);
    let xml = xml.replace(
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
    );
    let signed = cut(&xml, "<ds:SignedInfo>", "</ds:SignedInfo>");
    let key = hmac::Key::new(hmac::HMAC_SHA256, IDP.certificate_pem.as_bytes());
    let tag = STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
    let value = cut(&xml, "<ds:SignatureValue>", "</ds:SignatureValue>");
    let xml = xml.replace(value, &format!("<ds:SignatureValue>{tag}</ds:SignatureValue>"));
    assert_eq!(reason(&xml), Reason::SignatureAlgorithm);
}

#[test]
fn sha1_is_refused_in_signature_and_digest() {
    let xml = Draft::new().signed(Signed::Assertion);
    let weak =
        xml.replace("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2000/09/xmldsig#rsa-sha1");
    assert_eq!(reason(&weak), Reason::SignatureSha1);
    // Even switched on, a signature with another algorithm is no signature.
    let mut settings = settings();
    settings.sha1 = Sha1::DangerouslyBelieved;
    assert_eq!(judge_by(&settings, &weak).unwrap_err().reason, Reason::SignatureKey);
    let weak = xml.replace("http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2000/09/xmldsig#sha1");
    assert_eq!(reason(&weak), Reason::SignatureKey, "the digest comes after the signature");
}

#[test]
fn a_comment_in_a_name_is_refused_with_the_whole_message() {
    // VU#475445: whoever reads up to the comment sees somebody else.
    let xml = Draft::new().signed(Signed::Both);
    for (old, new) in [
        ("ada@acme.example", "ada@acme.example<!---->.evil.example"),
        (USER, "<!-- -->0055g00000AbCdE"),
        ("ada@acme.example", "<![CDATA[ada@acme.example]]>"),
        ("ada@acme.example", "ada<?x?>@acme.example"),
        ("<saml:Conditions", "<!-- x --><saml:Conditions"),
        ("<ds:DigestValue>", "<ds:DigestValue><!-- x -->"),
    ] {
        let xml = xml.replacen(old, new, 1);
        assert_eq!(reason(&xml), Reason::TooMuch, "{new}");
    }
}

#[test]
fn entities_and_document_types_are_refused() {
    let xml = Draft::new().signed(Signed::Both);
    let xml = without_declaration(&xml);
    let lol = (1..10).fold("<!ENTITY l0 \"lol\">".to_owned(), |all, n| {
        format!("{all}<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10))
    });
    for types in [
        "<!DOCTYPE r>".to_owned(),
        "<!DOCTYPE r [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>".to_owned(),
        "<!DOCTYPE r SYSTEM \"https://evil.example/x.dtd\">".to_owned(),
        format!("<!DOCTYPE r [{lol}]>"),
    ] {
        assert_eq!(reason(&format!("{types}{xml}")), Reason::TooMuch, "{types}");
    }
    for entity in ["&x;", "&l9;", "&nbsp;"] {
        assert_eq!(reason(&xml.replace("ada@acme.example", entity)), Reason::Unreadable, "{entity}");
    }
}

#[test]
fn a_message_of_ten_megabytes_is_refused_unread() {
    let fault = consume(&"A".repeat(10 << 20), None, None, ACS, NOW, &settings()).unwrap_err();
    assert_eq!(fault.reason, Reason::TooMuch);
    let padded = Draft::new().signed(Signed::Both) + &" ".repeat(MAX_SIZE);
    assert_eq!(reason(&padded), Reason::TooMuch);
}

#[test]
fn deep_and_wide_messages_are_refused_before_a_tree_is_made() {
    let deep = "<a>".repeat(20_000) + &"</a>".repeat(20_000);
    assert_eq!(reason(&deep), Reason::TooMuch);
    let wide = (0..60_000).fold("<a".to_owned(), |tag, n| tag + " a" + &n.to_string()) + "='1'/>";
    assert!(matches!(reason(&wide), Reason::TooMuch | Reason::Unreadable));
    let attributes = (0..10_000).fold("<a".to_owned(), |tag, n| format!("{tag} a{n}='1'")) + "/>";
    assert_eq!(reason(&attributes), Reason::TooMuch);
    let namespaces = (0..6_000).fold(String::new(), |all, n| format!("{all}<a xmlns:a{n}='u{n}'/>"));
    assert_eq!(reason(&format!("<a>{namespaces}</a>")), Reason::TooMuch);
}

#[test]
fn a_deflate_bomb_is_not_inflated() {
    use flate2::{Compression, write::DeflateEncoder};
    use std::io::Write;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 32 << 20]).unwrap();
    let packed = STANDARD.encode(encoder.finish().unwrap()).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    assert!(packed.len() < 64 * 1024);
    assert_eq!(Query::read(&format!("SAMLRequest={packed}")).unwrap_err(), BadQuery::Size);
}

#[test]
fn what_is_no_message_at_all_is_refused() {
    let xml = |text: &str| consume(&STANDARD.encode(text), None, None, ACS, NOW, &settings()).unwrap_err().reason;
    assert_eq!(xml(""), Reason::Unreadable);
    assert_eq!(xml("{}"), Reason::Unreadable);
    assert_eq!(xml("<a/><b/>"), Reason::Unreadable);
    assert_eq!(xml("<Response/>"), Reason::Shape);
    assert_eq!(xml(&Draft::new().assertion_xml()), Reason::Shape);
    for text in ["", "%", "PGEvPg", "\u{e9}", "//79"] {
        let fault = consume(text, None, None, ACS, NOW, &settings()).unwrap_err();
        assert_eq!(fault.reason, Reason::Unreadable, "{text}");
    }
}

#[test]
fn a_signature_of_another_shape_is_refused() {
    let xml = Draft::new().signed(Signed::Assertion);
    let reference = cut(&xml, "<ds:Reference", "</ds:Reference>");
    let signed = cut(&xml, "<ds:SignedInfo>", "</ds:SignedInfo>");
    let value = cut(&xml, "<ds:SignatureValue>", "</ds:SignatureValue>");
    let transforms = cut(&xml, "<ds:Transforms>", "</ds:Transforms>");
    let enveloped = "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>";
    let xpath = format!(
        "{enveloped}<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"><ds:XPath>1</ds:XPath></ds:Transform>"
    );
    for (old, new) in [
        (reference, reference.repeat(2)),
        (reference, String::new()),
        (signed, signed.repeat(2)),
        (signed, String::new()),
        (value, value.repeat(2)),
        (value, String::new()),
        (value, value.replace(">\n", "><b/>")),
        (value, value.replace(">\n", ">!")),
        (value, format!("{value}<ds:Object/>")),
        (transforms, String::new()),
        (transforms, "<ds:Transforms/>".into()),
        (enveloped, String::new()),
        (enveloped, enveloped.repeat(2)),
        (enveloped, xpath),
        ("xml-exc-c14n#\"/>", "xml-exc-c14n#WithComments\"/>".into()),
        ("<ds:SignatureMethod", "<x/><ds:SignatureMethod".into()),
        ("<ds:SignatureMethod", "x<ds:SignatureMethod".into()),
        ("rsa-sha256\"/>", "rsa-sha256\"><ds:HMACOutputLength>1</ds:HMACOutputLength></ds:SignatureMethod>".into()),
    ] {
        let bent = xml.replacen(old, &new, 1);
        assert_ne!(bent, xml);
        assert_eq!(reason(&bent), Reason::SignatureShape, "{old} -> {new}");
    }
    let elsewhere = xml.replace(DSIG, "urn:another");
    assert_eq!(reason(&elsewhere), Reason::Shape);
    let twice = xml.replace(signature(&xml), &signature(&xml).repeat(2));
    assert_eq!(reason(&twice), Reason::SignatureShape);
}

#[test]
fn an_encrypted_assertion_fails_in_one_way_only() {
    let draft = Draft::new();
    let good = encrypt_assertion(&draft.signed(Signed::Assertion), &OURS.certificate, Cipher::Aes256Gcm).unwrap();
    let foreign = encrypt_assertion(&draft.signed(Signed::Assertion), &FORGER.certificate, Cipher::Aes256Gcm).unwrap();
    let cbc = encrypt_assertion(&draft.signed(Signed::Assertion), &OURS.certificate, Cipher::Aes256Cbc).unwrap();
    let key = cut(&good, "<xenc:EncryptedKey>", "</xenc:EncryptedKey>");
    let last = good.rfind("</xenc:CipherValue>").unwrap();
    let mut flipped = good.clone();
    flipped.replace_range(last - 8..last - 4, "AAAA");
    for bad in [
        foreign,
        cbc,
        flipped,
        good.replace("aes256-gcm", "aes128-gcm"),
        good.replace("aes256-gcm", "tripledes-cbc"),
        good.replace("rsa-oaep-mgf1p", "rsa-1_5"),
        good.replace("xmldsig#sha1", "xmldsig#md5"),
        good.replace(key, ""),
        good.replace(key, &key.repeat(2)),
        good.replace("<xenc:CipherData>", "<xenc:CipherReference/><xenc:Other>")
            .replace("</xenc:CipherData>", "</xenc:Other>"),
        {
            let at = good.rfind("<xenc:CipherValue>").unwrap();
            format!("{}<xenc:CipherValue>AAAA{}", &good[..at], &good[last..])
        },
    ] {
        let fault = judge(&bad).unwrap_err();
        assert_eq!(
            (fault.reason, fault.detail.as_str()),
            (Reason::Undecryptable, "the encrypted assertion cannot be decrypted")
        );
    }
    let mut settings = settings();
    settings.key = None;
    assert_eq!(judge_by(&settings, &good).unwrap_err().reason, Reason::Encrypted);
}

#[test]
fn what_was_encrypted_is_judged_like_everything_else() {
    // Anybody can encrypt to us: our certificate is public.
    let seal = |xml: &str| encrypt_assertion(xml, &OURS.certificate, Cipher::Aes256Gcm).unwrap();
    assert_eq!(reason(&seal(&Draft::evil().xml())), Reason::Unsigned);
    assert_eq!(reason(&seal(&Draft::evil().signed_by(&FORGER, Signed::Assertion))), Reason::SignatureKey);
    let (_, signature, bare) = stolen();
    assert_eq!(reason(&seal(&response_around(&forged(&into_object(&signature, &bare))))), Reason::Shape);
    let mut draft = Draft::new();
    draft.conditions = draft.conditions.replace(US, "https://evil.example");
    assert_eq!(reason(&seal(&draft.signed(Signed::Assertion))), Reason::Audience);
}

#[test]
fn the_signature_covers_what_is_read_and_nothing_is_read_from_the_signature() {
    let xml = Draft::new().signed(Signed::Assertion);
    let tree = roxmltree::Document::parse(&xml).unwrap();
    let assertion = tree.root_element().last_element_child().unwrap();
    let certificates = [IDP.certificate.clone()];
    let trust = xmldsig::Trust { certificates: &certificates, sha1: Sha1::Refused };
    let verified = xmldsig::verify(assertion, &trust).unwrap().unwrap();
    assert!(verified.elements().all(|child| child.name() != "Signature"));
    assert!(verified.only(DSIG, "Signature").unwrap().is_none());
    assert!(xmldsig::verify(tree.root_element(), &trust).unwrap().is_none());
}
