//! The shape of the house: which way imports point, how long files are, and that each says what it is for.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms that know nothing of others but these.
const WORDS: &[&str] = &["clock", "http", "refusal", "secret", "telemetry", "x509"];
/// What the gateway is about; each knows those before it.
const DOMAIN: &[&str] = &["identity", "session", "route", "policy"];
/// How it is done; none knows the others.
const MECHANISM: &[&str] = &["proxy", "pages", "server"];
/// The whole story.
const STORY: &[&str] = &["login", "admin", "gateway"];
/// Nothing imports them but each other.
const EDGES: &[&str] = &["emulator", "demo", "cli"];

/// What each room may import.
fn allowed(room: &str) -> Vec<&'static str> {
    let before = |list: &'static [&'static str]| list[..list.iter().position(|name| *name == room).unwrap()].to_vec();
    match room {
        "clock" | "secret" | "telemetry" => vec![],
        "http" => vec!["clock", "secret"],
        "x509" => vec!["clock"],
        "refusal" => vec!["http"],
        // it serves whoever asks, and does not know who signs in
        "server" => vec!["clock", "http", "x509"],
        _ if DOMAIN.contains(&room) => [WORDS, &before(DOMAIN)].concat(),
        _ if MECHANISM.contains(&room) => [WORDS, DOMAIN].concat(),
        "config" => [WORDS, DOMAIN, MECHANISM].concat(),
        "login" => [WORDS, DOMAIN, MECHANISM].concat(),
        "admin" => WORDS.to_vec(),
        "gateway" => [WORDS, DOMAIN, MECHANISM, &["config", "login", "admin"]].concat(),
        // the pretend org is nobody's friend: nothing of the gateway's own can make it agree with itself; signatures
        // over XML are shared (see `also`), and other programs' signatures and verdicts stand beside them in tests
        "emulator" => vec!["clock", "http", "secret", "server"],
        _ if EDGES.contains(&room) => [WORDS, DOMAIN, MECHANISM, STORY, &["config"], &before(EDGES)].concat(),
        _ => panic!("src/{room}.rs has no place in the house: give it one here and in the plan"),
    }
}

/// What a room may use of another that it otherwise must not know.
fn also(room: &str) -> &'static str {
    if room == "emulator" { "crate::identity::xmldsig" } else { "crate::itself" }
}

struct Source {
    path: PathBuf,
    /// Without the tests at its end.
    text: String,
}

impl Source {
    fn room(&self) -> String {
        let first = self.path.strip_prefix("src").unwrap().components().next().unwrap();
        first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
    }

    /// Lines that are no comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every file of `src`, but for files of tests.
fn sources() -> Vec<Source> {
    fn walk(directory: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().unwrap() == "tests" {
                // a family of files of tests
            } else if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") && path.file_stem().unwrap() != "tests" {
                let text = without_tests(&fs::read_to_string(&path).unwrap());
                found.push(Source { path, text });
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("src"), &mut found);
    assert!(found.len() > 50, "tests run where src is");
    found
}

fn without_tests(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{'));
    lines[..tests.unwrap_or(lines.len())].join("\n")
}

/// The rooms that a line names: `crate::room`, also within `use crate::{room, ..}`.
fn rooms_named(line: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut named = Vec::new();
    for rest in line.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => named.push(word(rest)),
            Some(list) => {
                let mut depth = 0;
                for part in list.split_inclusive(['{', '}', ',']) {
                    if depth == 0 {
                        named.push(word(part.trim()));
                    }
                    depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
                }
            }
        }
    }
    named.retain(|name| !name.is_empty() && name != "self");
    named
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for source in sources() {
        let room = source.room();
        if room == "lib" || room == "main" {
            continue;
        }
        let may = allowed(&room);
        for (number, line) in source.code() {
            let line = line.replace(also(&room), "");
            for named in rooms_named(&line).into_iter().filter(|named| *named != room && !may.contains(&named.as_str()))
            {
                wrong.push(format!("{}:{number}: {room} must not know {named}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_however_they_are_written() {
    assert_eq!(rooms_named("use crate::http::{self, Body};"), ["http"]);
    assert_eq!(
        rooms_named("use crate::{gateway, session::{Session, cookie}, telemetry};"),
        ["gateway", "session", "telemetry"]
    );
    assert_eq!(rooms_named("fn f(x: crate::policy::Pass) -> crate::http::Body {"), ["policy", "http"]);
    assert!(rooms_named("pub(crate) fn f() {").is_empty());
}

#[test]
fn every_file_says_what_it_is_for() {
    for source in sources() {
        let words: Vec<&str> = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
        assert!(words.len() >= 2 || source.room() == "lib", "{} opens without //!", source.path.display());
    }
}

#[test]
fn no_file_is_longer_than_a_sitting() {
    for source in sources() {
        let length = source.text.lines().count();
        assert!(length <= 400, "{} has {length} lines", source.path.display());
    }
}

#[test]
fn only_the_configuration_knows_how_it_is_written() {
    for source in sources() {
        for (number, line) in source.code().filter(|_| source.room() != "config") {
            for name in ["figment::", "toml_edit::", "std::env::var"] {
                assert!(!line.contains(name), "{}:{number}: {line}", source.path.display());
            }
        }
    }
}

#[test]
fn time_enters_where_requests_do() {
    for source in sources() {
        let room = source.room();
        let below =
            WORDS.contains(&room.as_str()) || DOMAIN.contains(&room.as_str()) || MECHANISM.contains(&room.as_str());
        for (number, line) in source.code().filter(|_| below && room != "clock") {
            // The `Date` of answers is nothing that anything is judged by.
            let reads = line.contains("Timestamp::now")
                || line.contains("SystemTime::now") && !source.path.ends_with("server/lean/date.rs");
            assert!(!reads, "{}:{number}: {line}", source.path.display());
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            for mark in ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "#[ignore", "#[allow("] {
                assert!(!line.contains(mark), "{}:{}: {line}", source.path.display(), number + 1);
            }
        }
    }
}
