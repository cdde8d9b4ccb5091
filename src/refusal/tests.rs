//! Refusals: each has a code of its own, and words for whom they are meant.

use std::collections::BTreeSet;

use super::*;

const DOCUMENT: &str = include_str!("../../docs/refusals.md");

/// The names of an enum's variants, read from its source.
fn variants(source: &str, name: &str) -> BTreeSet<String> {
    let (_, body) = source.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let (body, _) = body.split_once("\n}\n").unwrap();
    let names = body.lines().filter_map(|line| line.strip_prefix("    "));
    let names = names.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
    names.map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
}

fn named(values: impl IntoIterator<Item = impl std::fmt::Debug>) -> BTreeSet<String> {
    let name = |value| format!("{value:?}").chars().take_while(char::is_ascii_alphanumeric).collect();
    values.into_iter().map(name).collect()
}

fn section(refusal: &Refusal) -> String {
    let Entry { code, status, happened, administrator, .. } = refusal.entry();
    format!("### `{code}` \u{b7} {}\n\n{happened}\n\n**Check:** {administrator}\n", status.as_u16())
}

#[test]
fn the_lists_hold_every_variant() {
    assert_eq!(named(Refusal::samples()), variants(include_str!("../refusal.rs"), "Refusal"));
    assert_eq!(named(ProviderDoubt::ALL), variants(include_str!("doubt.rs"), "ProviderDoubt"));
    assert_eq!(named(SamlDoubt::ALL), variants(include_str!("saml.rs"), "SamlDoubt"));
    assert_eq!(named(SalesforceError::ALL), variants(include_str!("salesforce.rs"), "SalesforceError"));
}

#[test]
fn every_code_is_snake_case_and_says_one_thing() {
    let samples = Refusal::samples();
    let codes: BTreeSet<_> = samples.iter().map(Refusal::code).collect();
    assert_eq!(codes.len(), samples.len());
    assert!(codes.iter().all(|code| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
}

#[test]
fn the_document_says_what_the_pages_say() {
    for refusal in Refusal::samples() {
        let section = section(&refusal);
        assert!(DOCUMENT.contains(&section), "docs/refusals.md lacks:\n\n{section}");
    }
    let headings = DOCUMENT.lines().filter_map(|line| line.strip_prefix("### `"));
    let documented: Vec<_> = headings.filter_map(|line| line.split_once('`')).map(|(code, _)| code).collect();
    let codes: BTreeSet<_> = Refusal::samples().iter().map(Refusal::code).collect();
    assert_eq!(documented.iter().copied().collect::<BTreeSet<_>>(), codes);
    assert_eq!(documented.len(), codes.len(), "a code is documented twice");
}

#[test]
fn every_key_that_the_words_name_is_in_the_reference_file() {
    let reference = include_str!("../../gateway.toml");
    let others = ["code_challenge"];
    for refusal in Refusal::samples() {
        let words = refusal.words().administrator;
        let keys = words.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for key in keys.filter(|key| key.contains('_') && !others.contains(key)) {
            assert!(reference.contains(key), "{} names {key}", refusal.code());
        }
        let tables = words.split('[').skip(1).filter_map(|rest| rest.split_once(']')).map(|(table, _)| table);
        for table in tables.filter(|table| !table.is_empty()) {
            assert!(reference.contains(&format!("[{table}]")), "{} names [{table}]", refusal.code());
        }
    }
}

#[test]
fn the_setup_guide_names_only_codes_and_keys_that_exist() {
    let guide = include_str!("../../docs/salesforce-setup.md");
    let (reference, samples) = (include_str!("../../gateway.toml"), Refusal::samples());
    let codes: BTreeSet<_> = samples.iter().map(Refusal::code).collect();
    let snake = |word: &&str| word.contains('_') && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    for word in guide.split('`').skip(1).step_by(2).filter(snake).filter(|word| *word != "code_challenge") {
        assert!(codes.contains(word) || reference.contains(word), "{word}");
    }
}

#[test]
fn no_refusal_is_a_500_or_a_success() {
    for refusal in Refusal::samples() {
        let status = refusal.status();
        assert!(status.is_client_error() || status.is_server_error(), "{}", refusal.code());
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{}", refusal.code());
    }
}

#[test]
fn every_refusal_has_whole_sentences() {
    for refusal in Refusal::samples() {
        let words = refusal.words();
        assert!(!words.title.is_empty() && !words.title.ends_with('.'), "{}", refusal.code());
        for text in [&words.happened, words.you, &words.administrator] {
            assert!(text.ends_with('.') && !text.contains("  "), "{}: {text}", refusal.code());
        }
    }
}

#[test]
fn what_others_said_reaches_the_log_and_not_the_words() {
    let cause = || "token 00Dxx!secret".to_owned();
    let refusals = [
        Refusal::WrongOrganization { cause: cause() },
        Refusal::ProviderMisbehaved { doubt: ProviderDoubt::Nonce, cause: cause() },
        Refusal::Salesforce { error: SalesforceError::Unknown, cause: cause() },
        Refusal::UpstreamMisbehaved { cause: cause() },
    ];
    for refusal in refusals {
        assert_eq!(refusal.cause(), cause());
        assert!(!format!("{:?}", refusal.words()).contains("secret"));
    }
}

#[test]
fn our_own_detail_is_shown() {
    let words = Refusal::BadTarget("the path holds a dot segment").words();
    assert!(words.happened.ends_with("The reason: the path holds a dot segment."));
}

#[test]
fn the_log_line_names_code_and_cause() {
    let refusal = Refusal::UpstreamBusy { cause: "1000 connections to 127.0.0.1:8080".to_owned() };
    assert_eq!(refusal.to_string(), "upstream_busy: 1000 connections to 127.0.0.1:8080");
}
