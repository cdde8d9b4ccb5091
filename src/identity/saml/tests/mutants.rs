//! Mutants of good answers: whatever is still accepted says what the identity provider signed, and another verifier
//! calls it good too.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::super::trial::*;
use super::super::*;
use crate::identity::xmldsig::{Cipher, encrypt_assertion};

static GOOD: LazyLock<Vec<(String, Consumed)>> = LazyLock::new(|| {
    let draft = Draft::new();
    let encrypted = encrypt_assertion(&draft.signed(Signed::Assertion), &OURS.certificate, Cipher::Aes128Gcm).unwrap();
    let outer = encrypt_assertion(&draft.xml(), &OURS.certificate, Cipher::Aes128Cbc).unwrap();
    let all = [
        draft.signed(Signed::Both),
        draft.signed(Signed::Response),
        draft.signed(Signed::Assertion),
        encrypted,
        sign(&outer, &draft.response_id, &IDP, ""),
    ];
    all.into_iter().map(|xml| (judge(&xml).unwrap(), xml)).map(|(consumed, xml)| (xml, consumed)).collect()
});

/// Pieces that attacks are made of.
const PIECES: &[&str] = &[
    "<",
    ">",
    "/>",
    "\"",
    "'",
    "&amp;",
    "&#13;",
    "&#0;",
    "<!---->",
    "<![CDATA[",
    "]]>",
    "<!DOCTYPE a>",
    "<?a?>",
    " ",
    "\n",
    "\r",
    "\t",
    "\u{85}",
    "\u{2028}",
    "saml:",
    "ds:",
    "xmlns",
    " xmlns=\"urn:x\"",
    " xmlns:saml=\"urn:x\"",
    " xmlns:ds=\"urn:x\"",
    " ID=\"_3e1b1790000000124\"",
    "#",
    "true",
    VICTIM,
    "victim@acme.example",
    "</saml:NameID>",
    "<saml:NameID>victim</saml:NameID>",
    "</saml:Assertion>",
    "<saml:Assertion>",
    "</ds:Signature>",
    "<ds:Object>",
];

#[derive(Clone, Debug)]
enum Mutation {
    Replace(usize, usize, usize),
    Delete(usize, usize),
    Copy(usize, usize, usize),
    Swap(usize, usize, usize),
    Character(usize, char),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let place = any::<usize>();
    prop_oneof![
        (place, 0..40_usize, 0..PIECES.len()).prop_map(|(at, length, piece)| Mutation::Replace(at, length, piece)),
        (place, 1..400_usize).prop_map(|(at, length)| Mutation::Delete(at, length)),
        (place, 1..4000_usize, place).prop_map(|(from, length, to)| Mutation::Copy(from, length, to)),
        (place, place, 1..400_usize).prop_map(|(one, other, length)| Mutation::Swap(one, other, length)),
        (place, any::<char>()).prop_map(|(at, character)| Mutation::Character(at, character)),
    ]
}

fn place(text: &str, at: usize) -> usize {
    let mut at = at % (text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A place where a tag begins, so that mutants stay well-formed more often.
fn tag(text: &str, at: usize) -> usize {
    let at = place(text, at);
    text[..at].rfind('<').unwrap_or(at)
}

fn apply(text: &mut String, mutation: &Mutation) {
    match *mutation {
        Mutation::Replace(at, length, piece) => {
            let from = place(text, at);
            let to = place(text, (from + length).min(text.len()));
            text.replace_range(from.min(to)..to.max(from), PIECES[piece]);
        }
        Mutation::Delete(at, length) => {
            let from = tag(text, at);
            let to =
                text[from..].match_indices('<').map(|(index, _)| from + index).nth(length % 7).unwrap_or(text.len());
            text.replace_range(from..to, "");
        }
        Mutation::Copy(from, length, to) => {
            let from = tag(text, from);
            let end = text[from..].match_indices('>').map(|(index, _)| from + index + 1).nth(length % 90);
            let piece = text[from..end.unwrap_or(text.len())].to_owned();
            let to = tag(text, to);
            text.insert_str(to, &piece);
        }
        Mutation::Swap(one, other, length) => {
            let (one, other) = (tag(text, one), tag(text, other));
            let (one, other) = (one.min(other), one.max(other));
            let end = place(text, (other + length).min(text.len())).max(other);
            let swapped = text[other..end].to_owned() + &text[one..other];
            text.replace_range(one..end, &swapped);
        }
        Mutation::Character(at, character) => {
            let at = place(text, at);
            if let Some(old) = text[at..].chars().next() {
                text.replace_range(at..at + old.len_utf8(), &character.to_string());
            }
        }
    }
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    prop::collection::vec(mutation(), 1..4)
}

fn mutated(good: &str, mutations: &[Mutation]) -> String {
    let mut mutant = good.to_owned();
    for mutation in mutations {
        apply(&mut mutant, mutation);
    }
    mutant
}

/// The same mutants in every run, so that their number is known.
#[test]
fn another_verifier_calls_every_accepted_mutant_good() {
    let mut runner = TestRunner::deterministic();
    let mut judged = 0;
    for round in 0..3000 {
        let good = &GOOD[round % GOOD.len()].0;
        let mutant = mutated(good, &mutations().new_tree(&mut runner).unwrap().current());
        if mutant != *good && judge(&mutant).is_ok() {
            match oracle::vouches(&mutant, &settings()) {
                Ok(1..) => judged += 1,
                other => panic!("{other:?} of\n{mutant}"),
            }
        }
    }
    assert!(judged > 30, "only {judged} mutants were judged");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(600),
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_mutant_of_a_signed_answer_is_somebody_else(
        which in 0..5_usize,
        mutations in mutations(),
    ) {
        let (good, consumed) = &GOOD[which];
        let mutant = mutated(good, &mutations);
        if let Ok(other) = judge(&mutant) {
            let vouched = oracle::vouches(&mutant, &settings());
            prop_assert!(matches!(vouched, Ok(1..)), "{:?}", vouched);
            prop_assert_eq!(&other.identity, &consumed.identity);
            prop_assert_eq!(&other.name_id, &consumed.name_id);
            prop_assert_eq!(&other.assertion_id, &consumed.assertion_id);
            prop_assert_eq!(other.remember_until, consumed.remember_until);
        }
    }

    #[test]
    fn noise_is_no_panic(noise in "\\PC*", query in "(SAML(Request|Response)|RelayState|SigAlg|Signature|[=&%+A-Za-z0-9/])*") {
        prop_assert!(consume(&noise, Some(&noise), None, ACS, NOW, &settings()).is_err());
        prop_assert!(judge(&noise).is_err());
        let _ = Query::read(&query);
        let _ = metadata::Metadata::read(&noise);
    }
}
