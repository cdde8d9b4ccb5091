//! Signature wrapping: what was signed is moved to where nobody reads it, and a forgery put in its place.

use super::*;

#[test]
fn xsw1_the_signed_response_hidden_in_the_signature_of_a_forged_one() {
    let (_, signature, bare) = stolen_response();
    assert_eq!(reason(&forged_response(&into_object(&signature, &bare))), Reason::Shape);
    let hidden = signature.replace("</ds:Signature>", &format!("{bare}</ds:Signature>"));
    assert_eq!(reason(&forged_response(&hidden)), Reason::Shape);
}

#[test]
fn xsw2_the_signed_response_beside_its_signature_in_a_forged_one() {
    let (_, signature, bare) = stolen_response();
    assert_eq!(reason(&forged_response(&format!("{bare}{signature}"))), Reason::Shape);
    assert_eq!(
        reason(&forged_response(&format!("{signature}<samlp:Extensions>{bare}</samlp:Extensions>"))),
        Reason::Shape
    );
}

#[test]
fn xsw3_a_forged_assertion_before_the_signed_one() {
    let (assertion, ..) = stolen();
    assert_eq!(reason(&response_around(&format!("{}{assertion}", forged("")))), Reason::SeveralAssertions);
    assert_eq!(reason(&response_around(&format!("{assertion}{}", forged("")))), Reason::SeveralAssertions);
}

#[test]
fn xsw4_a_forged_assertion_around_the_signed_one() {
    let (assertion, ..) = stolen();
    assert_eq!(reason(&response_around(&forged(&assertion))), Reason::Shape);
}

#[test]
fn xsw5_a_forged_assertion_with_the_signature_of_one_that_follows() {
    let (_, signature, bare) = stolen();
    assert_eq!(reason(&response_around(&format!("{}{bare}", forged(&signature)))), Reason::SeveralAssertions);
}

#[test]
fn xsw6_the_signed_assertion_in_the_signature_of_a_forged_one() {
    let (_, signature, bare) = stolen();
    let hidden = signature.replace("</ds:Signature>", &format!("{bare}</ds:Signature>"));
    assert_eq!(reason(&response_around(&forged(&hidden))), Reason::Shape);
}

#[test]
fn xsw7_a_forged_assertion_in_extensions() {
    let (assertion, ..) = stolen();
    let same = forged("").replace("_evil-assertion", &Draft::new().assertion_id);
    let with = |forged: &str| response_around(&format!("<samlp:Extensions>{forged}</samlp:Extensions>{assertion}"));
    assert_eq!(reason(&with(&forged(""))), Reason::Shape);
    assert_eq!(reason(&with(&same)), Reason::Shape);
}

#[test]
fn xsw8_the_signed_assertion_in_an_object_of_the_signature_of_a_forged_one() {
    let (_, signature, bare) = stolen();
    assert_eq!(reason(&response_around(&forged(&into_object(&signature, &bare)))), Reason::Shape);
    // The same under a name that is not looked for.
    let renamed = bare.replace("saml:Assertion", "saml:Advice");
    assert_eq!(reason(&response_around(&forged(&into_object(&signature, &renamed)))), Reason::SignatureShape);
}

#[test]
fn what_the_wrappings_steal_would_be_good() {
    judge(&response_around(&stolen().0)).unwrap();
    judge(&stolen_response().0).unwrap();
}
