//! `[tls]`: certificates, client certificates and versions.
//!
//! Everything that is named is read here, once, so that the start fails for a file that a visitor would otherwise
//! meet first. Called by `config::front` and `config::file`.

use std::path::PathBuf;
use std::time::Duration;

use super::acme;
use super::problem::Wrong;
use super::reader::{Table, Written};
use super::value::{choice, duration};
use crate::http::origin::Origin;
use crate::server::tls::{Clients, Demand, Files, MinVersion, Settings};

const CERTIFICATE: &str = "write the PEM file with the certificate and its chain";
const PRIVATE_KEY: &str = "write the PEM file with the certificate's private key";
const REVOCATIONS: &str = "write the file with the authorities' revocation lists, in PEM or DER, that are still good";
const AUTHORITY: &str = "write the PEM file with the certificates that sign clients' certificates";

/// Browsers forget what they were told for less before it is of use.
const MINUTE: Duration = Duration::from_secs(60);
const TEN_YEARS: Duration = Duration::from_secs(10 * 366 * 86_400);

/// `Some(None)` is plain text, `None` what was complained about.
pub(super) fn read(root: &Table<'_>) -> Option<Option<Settings>> {
    let table = root.table("tls");
    let ordered = acme::read(&table);
    // Certificates that are ordered may be all that there are.
    let brings = !table.has("acme") || table.has("certificate") || table.has("private_key");
    let (first, others) = (brings.then(|| pair(&table)), table.tables("more"));
    if !brings {
        note_pair(&table);
    }
    // Not lazily: each table's problems are told.
    let others: Vec<_> = others.iter().map(|table| (pair(table), table.finish()).0).collect();
    let clients = clients(&table);
    let versions = [("1.2", MinVersion::Tls12), ("1.3", MinVersion::Tls13)];
    let min_version = table.get("min_version", Some("1.2"), Written::Text, |text| match text {
        "1.0" | "1.1" => Err(Wrong::new(format!("{text:?} is broken and not offered (RFC 8996)"), "write \"1.2\"")),
        text => choice(text, &versions),
    });
    let hsts = table.get("hsts", Some("off"), Written::Text, |text| match text {
        "off" => Ok(None),
        text => duration(text, MINUTE, TEN_YEARS).map(Some),
    });
    table.finish();
    if !root.has("tls") {
        return Some(None);
    }
    let pairs = first.into_iter().chain(others).collect::<Option<_>>()?;
    let (clients, min_version, hsts) = (clients?, min_version?, hsts?);
    Some(Some(Settings { pairs, ordered: ordered?, clients, min_version, hsts }))
}

/// The keys are known even where they need not be written.
fn note_pair(table: &Table<'_>) {
    table.ask("certificate", None);
    table.ask("private_key", None);
}

/// A certificate and its key.
fn pair(table: &Table<'_>) -> Option<Files> {
    let certificate = file(table, "certificate", CERTIFICATE);
    let private_key = file(table, "private_key", PRIVATE_KEY);
    let files = Files { certificate: certificate?, private_key: private_key? };
    let problem = match files.load() {
        Ok(_) => return Some(files),
        Err(problem) => problem,
    };
    let key = if problem.file() == files.certificate { "certificate" } else { "private_key" };
    let instead = "name the certificate and the key that were made for each other, both in PEM";
    table.complain(key, problem.to_string(), instead);
    None
}

fn clients(table: &Table<'_>) -> Option<Clients> {
    let authorities = table.one_or_more("client_ca", |text| openable(table, text, AUTHORITY));
    let demands = [("required", Demand::Required), ("optional", Demand::Optional)];
    let demand = table.get("client_certificate", Some("required"), Written::Text, |text| choice(text, &demands));
    let revocations = table.one_or_more("client_crl", |text| openable(table, text, REVOCATIONS));
    let clients = Clients { authorities: authorities?, demand: demand?, revocations: revocations? };
    if !clients.are_asked() && table.has("client_ca") {
        table.complain("client_ca", "names no file: no certificate would be asked for", AUTHORITY);
        return None;
    }
    if !clients.are_asked() && table.has("client_certificate") {
        let what = "says who has to show a certificate, and nobody is asked for one: client_ca is missing";
        table.complain("client_certificate", what, format!("{AUTHORITY} in tls.client_ca"));
        return None;
    }
    if clients.revocations.is_empty() && table.has("client_crl") {
        table.complain("client_crl", "names no file: every certificate would be good", REVOCATIONS);
        return None;
    }
    if !clients.are_asked() && table.has("client_crl") {
        let what = "says which certificates are no longer good, and nobody is asked for one: client_ca is missing";
        table.complain("client_crl", what, format!("{AUTHORITY} in tls.client_ca"));
        return None;
    }
    match clients.read() {
        Ok(_) => Some(clients),
        Err(problem) if clients.revocations.iter().any(|file| file == problem.file()) => {
            table.complain("client_crl", problem.to_string(), REVOCATIONS);
            None
        }
        Err(problem) => {
            table.complain("client_ca", problem.to_string(), AUTHORITY);
            None
        }
    }
}

fn file(table: &Table<'_>, key: &str, instead: &str) -> Option<PathBuf> {
    if table.is_present() {
        table.require(key, instead);
    }
    table.get(key, None, Written::Text, |text| openable(table, text, instead))
}

pub(super) fn openable(table: &Table<'_>, text: &str, instead: &str) -> Result<PathBuf, Wrong> {
    let path = table.reader.sources.resolve(text);
    match std::fs::File::open(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(Wrong::new(format!("the file {} cannot be read: {error}", path.display()), instead)),
    }
}

/// What an operator should know about it.
pub(super) fn notes(settings: &Settings, origins: &[Origin], notes: &mut Vec<String>) {
    for authority in settings.clients.read().map(|findings| findings.lacking).unwrap_or_default() {
        notes.push(format!("tls.client_crl has no list of {authority}: whoever it has signed itself is refused"));
    }
    for origin in origins.iter().filter(|origin| settings.hsts.is_some() && origin.is_loopback()) {
        let host = origin.host();
        notes.push(format!("tls.hsts for {host}: browsers will refuse plain http at every port of this machine"));
    }
}
