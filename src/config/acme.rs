//! `[tls.acme]`: certificates that are ordered.
//!
//! What an authority would refuse is refused here, where it costs no rate limit. Hosts are those of `public_url` and
//! of the routes for which the operator brings no certificate; they are known when the routes are, so this is read in
//! two steps. Called by `config::tls` and `config::file`.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use url::Url;

use super::problem::Wrong;
use super::reader::{Table, Written};
use super::tls::openable;
use super::value::{choice, truth};
use crate::http::client::Client;
use crate::http::origin::Origin;
use crate::server::tls::{Settings, acme};
use crate::server::{Place, Places};

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

const DIRECTORY: &str = "write \"letsencrypt\", \"letsencrypt-staging\", or the https address of an ACME directory";
const FOLDER: &str =
    "name a folder that the gateway may write to, such as \"/var/lib/portcullis\"; others need no access";
const CA: &str = "write the PEM file with the certificates that sign the directory's own certificate";
const DOMAINS: &str = "write host names of public_url and routes, such as \"wiki.example.com\"";
const TERMS: &str =
    "read the authority's terms of service, and write accept_terms = true under [tls.acme] when you agree";

/// The ports at which authorities ask (RFC 8737 section 3, RFC 8555 section 8.3).
const PROOF_PORT: u16 = 443;
const PLAIN_PROOF_PORT: u16 = 80;

/// `Some(None)` where nothing is ordered, `None` what was complained about.
pub(super) fn read(tls: &Table<'_>) -> Option<Option<acme::Settings>> {
    let table = tls.table("acme");
    let directory = table.get("directory", Some("letsencrypt"), Written::Text, directory);
    let accepted = table.get("accept_terms", Some("false"), Written::Truth, truth);
    let contact = table.list("contact", &[], contact);
    let names = table.one_or_more("domains", |text| name(text).map_err(|what| Wrong::new(what, DOMAINS)));
    if table.is_present() {
        table.require("folder", FOLDER);
    }
    let folder = table.get("folder", None, Written::Text, |text| writable(&table.reader.sources.resolve(text)));
    let ca = authority(&table);
    let proofs = [acme::Proof::Handshake, acme::Proof::Http].map(|proof| (proof.name(), proof));
    let proof = table.get("challenge", Some("tls-alpn-01"), Written::Text, |text| choice(text, &proofs));
    table.finish();
    if !table.is_present() {
        return Some(None);
    }
    let names = names?;
    if names.is_empty() && table.has("domains") {
        table.complain("domains", "names nobody: nothing would be ordered", "leave the key out to order for all hosts");
        return None;
    }
    if accepted? {
        let (directory, contact, proof) = (directory?, contact?, proof?);
        return Some(Some(acme::Settings { directory, contact, names, folder: folder?, ca: ca?, proof }));
    }
    let what = if table.has("accept_terms") { "is false" } else { "is missing" };
    table.complain("accept_terms", format!("{what}: authorities give certificates to who accepts their terms"), TERMS);
    None
}

fn directory(text: &str) -> Result<String, Wrong> {
    match text {
        "letsencrypt" => return Ok(LETS_ENCRYPT.to_owned()),
        "letsencrypt-staging" => return Ok(LETS_ENCRYPT_STAGING.to_owned()),
        _ => {}
    }
    match Url::parse(text) {
        Ok(url) if url.scheme() != "https" => Err(Wrong::new(format!("{text:?} is not https"), DIRECTORY)),
        Ok(url) if url.username() != "" || url.password().is_some() => {
            Err(Wrong::new("has a user name in it, which no directory asks for", DIRECTORY))
        }
        Ok(url) => Ok(url.to_string()),
        Err(_) => Err(Wrong::new(format!("{text:?} is no address of a directory"), DIRECTORY)),
    }
}

/// A bare mail address; everything else is the authority's to judge.
fn contact(text: &str) -> Result<String, Wrong> {
    let plain =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic() && !b"@,?".contains(&byte));
    match text.split_once('@') {
        Some((user, host)) if plain(user) && plain(host) && !user.contains(':') => Ok(text.to_owned()),
        _ => Err(Wrong::new(format!("{text:?} is no mail address"), "write for example \"ops@example.com\"")),
    }
}

/// A name that a certificate can be ordered for by a proof within TLS, in lower case.
fn name(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err(format!("{text:?} is a wildcard, which is proved by DNS alone (RFC 8737 proves single names)"));
    }
    if text.parse::<IpAddr>().is_ok() || text.starts_with('[') {
        return Err(format!("{text:?} is an address, and certificates are ordered for names here"));
    }
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plain && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    if text.len() > 253 || !text.split('.').all(label) {
        return Err(format!("{text:?} is no host name"));
    }
    Ok(text.to_ascii_lowercase())
}

/// A folder in which a file can be made, which is tried.
fn writable(folder: &Path) -> Result<PathBuf, Wrong> {
    if !folder.is_dir() {
        return Err(Wrong::new(
            format!("the folder {} is not there", folder.display()),
            format!("create it, or {FOLDER}"),
        ));
    }
    let everybody = |about: &std::fs::Metadata| about.permissions().mode() & 0o002 != 0;
    if std::fs::metadata(folder).is_ok_and(|about| everybody(&about)) {
        let problem = format!("everybody may write in {}, and what lies there is shown to clients", folder.display());
        return Err(Wrong::new(problem, format!("chmod o-w {}", folder.display())));
    }
    let probe = folder.join(".trial");
    let remove = || match std::fs::remove_file(&probe) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    };
    // What a crash has left of an earlier trial is in nobody's way.
    let tried = remove().and_then(|()| OpenOptions::new().write(true).create_new(true).open(&probe));
    let tried = tried.and_then(|_| remove());
    match tried {
        Ok(()) => Ok(folder.to_owned()),
        Err(cause) => Err(Wrong::new(format!("nothing can be written in {}: {cause}", folder.display()), FOLDER)),
    }
}

fn authority(table: &Table<'_>) -> Option<Option<PathBuf>> {
    let file = table.get("ca", None, Written::Text, |text| openable(table, text, CA));
    let Some(file) = file else { return (!table.has("ca")).then_some(None) };
    match Client::new(std::time::Duration::from_secs(1), Some(&file)) {
        Ok(_) => Some(Some(file)),
        Err(problem) => {
            table.complain("ca", problem.to_string(), CA);
            None
        }
    }
}

/// Fills in whom certificates are ordered for, once it is known who is served; `None` after a complaint.
pub(super) fn complete(root: &Table<'_>, settings: &mut Settings, origins: &[Origin]) -> Option<()> {
    let Settings { pairs, ordered: Some(ordered), .. } = settings else { return Some(()) };
    let table = root.table("tls").table("acme");
    if ordered.proof == acme::Proof::Http && !root.has("redirect") {
        let what = "is answered by the listener that sends people from http to https, and there is none";
        table.complain("challenge", what, "write [redirect] with listen = \"0.0.0.0:80\", or leave challenge out");
        return None;
    }
    // Whatever was wrong with them has been told.
    let brought: Vec<_> = pairs.iter().filter_map(|files| files.load().ok()).collect();
    let is_brought = |host: &str| brought.iter().any(|pair| pair.covers(host));
    let hosts: Vec<&str> = origins.iter().map(Origin::host).collect();
    let chosen = std::mem::take(&mut ordered.names);
    let mut problems = Vec::new();
    for name in &chosen {
        if !hosts.contains(&name.as_str()) {
            problems.push((format!("{name} is not a host of public_url or of a route"), DOMAINS.to_owned()));
        } else if is_brought(name) {
            let instead = format!("remove {name} here, or the certificate in [tls] or [[tls.more]] that names it");
            problems.push((format!("{name} has a certificate in [tls] already"), instead));
        }
    }
    let names: Vec<String> = if chosen.is_empty() {
        let others = hosts.iter().filter(|host| !is_brought(host));
        others.map(|host| (*host).to_owned()).collect()
    } else {
        chosen
    };
    if names.is_empty() {
        let instead = "remove [tls.acme], or certificate and private_key of [tls]";
        problems
            .push(("nothing would be ordered: each host has a certificate in [tls]".to_owned(), instead.to_owned()));
    }
    let public = [LETS_ENCRYPT, LETS_ENCRYPT_STAGING].contains(&ordered.directory.as_str());
    for host in &names {
        let instead = format!("name the others in domains, and bring a certificate for {host} in [[tls.more]]");
        if let Err(what) = name(host) {
            problems.push((what, instead));
        } else if public && (!host.contains('.') || host.ends_with(".localhost")) {
            problems.push((
                format!("{host} is a name of this machine or network, which Let's Encrypt cannot reach"),
                instead,
            ));
        }
    }
    ordered.names = names;
    ordered.names.sort_unstable();
    ordered.names.dedup();
    let sound = problems.is_empty();
    for (what, instead) in problems {
        table.complain("domains", what, instead);
    }
    sound.then_some(())
}

/// What an operator should know about it.
pub(super) fn notes(settings: &Settings, listen: &Places, redirect: Option<&Places>, notes: &mut Vec<String>) {
    let Some(ordered) = &settings.ordered else { return };
    let (port, key, places) = match ordered.proof {
        acme::Proof::Handshake => (PROOF_PORT, "listen", Some(listen)),
        acme::Proof::Http => (PLAIN_PROOF_PORT, "redirect.listen", redirect),
    };
    let is_there = |place: &Place| matches!(place, Place::Tcp(address) if address.port() == port);
    if !places.is_some_and(|places| places.list.iter().any(is_there)) {
        notes.push(format!("tls.acme: the authority comes to port {port} of each host: it has to lead to {key}"));
    }
    if ordered.directory == LETS_ENCRYPT_STAGING {
        notes.push("tls.acme: letsencrypt-staging is a rehearsal: no browser believes its certificates".to_owned());
    }
}
