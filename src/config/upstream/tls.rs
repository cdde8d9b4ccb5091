//! `[route.tls]`: TLS towards a route's app.
//!
//! The files are read here, so that a wrong one is a complaint with its key and not a refusal at night; that the
//! app's certificate is not looked at can be had by a key that says how dangerous that is, and by no other. Called
//! by `config::routes`.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::ServerName;

use crate::config::problem::Wrong;
use crate::config::reader::{Table, Written};
use crate::config::value::truth;
use crate::proxy::upstream::Connector;
use crate::proxy::upstream::tls::{Http2, Identity, Problem, Settings, Verification, system_authorities};
use crate::route::{Address, Place, Transport};

/// The machine's certificate authorities, read once and only when a route needs them.
#[derive(Default)]
pub(in crate::config) struct System(OnceCell<Arc<RootCertStore>>);

impl System {
    fn authorities(&self) -> Arc<RootCertStore> {
        Arc::clone(self.0.get_or_init(system_authorities))
    }
}

/// Reads `tls` of a route whose app is at `addresses`: nothing when none of them speaks TLS. `None` after a complaint.
pub(in crate::config) fn read(
    route: &Table<'_>,
    name: &str,
    addresses: &[Address],
    system: &System,
    notes: &mut Vec<String>,
) -> Option<Option<Connector>> {
    let table = route.table("tls");
    let file = |text: &str| {
        let path = table.reader.sources.resolve(text);
        match std::fs::File::open(&path) {
            Ok(_) => Ok(path),
            Err(error) => {
                Err(Wrong::new(format!("the file {} cannot be read: {error}", path.display()), "write a PEM file"))
            }
        }
    };
    let authorities = table.one_or_more("ca", file);
    let server_name = table.get("server_name", None, Written::Text, server_name);
    let certificate = table.get("certificate", None, Written::Text, file);
    let private_key = table.get("private_key", None, Written::Text, file);
    let accept_any = table.get("dangerous_accept_any_certificate", Some("false"), Written::Truth, truth);
    let http2 = table.get("http2", Some("true"), Written::Truth, truth);
    table.finish();
    let encrypted = addresses.iter().filter(|address| address.transport == Transport::Https);
    let Some(first) = encrypted.clone().next() else {
        if table.is_present() {
            route.complain("tls", "is for apps that speak TLS", "write the upstream with https://, or leave tls out");
        }
        return Some(None);
    };
    let identity = match (table.has("certificate"), table.has("private_key")) {
        (false, false) => None,
        (true, true) => Some(Identity { certificate: certificate?, private_key: private_key? }),
        (true, false) => {
            return missing(&table, "private_key", "write the PEM file with the certificate's private key");
        }
        (false, true) => return missing(&table, "certificate", "write the PEM file with the key's certificate"),
    };
    let verification = if accept_any? { Verification::DangerousNone } else { Verification::Full };
    let authorities = authorities?;
    if table.has("server_name") && server_name.is_none() {
        return None;
    }
    if server_name.is_none() && encrypted.clone().any(|address| matches!(address.place, Place::Unix(_))) {
        return missing(&table, "server_name", "write the name in the certificate: a socket's path is none");
    }
    if verification == Verification::DangerousNone {
        if !authorities.is_empty() {
            let what = "changes nothing beside dangerous_accept_any_certificate";
            table.complain("ca", what, "leave one of them out");
            return None;
        }
        notes.push(format!(
            "DANGEROUS: whoever stands between here and {first} is believed to be the app {name:?}, and sees what its \
             people do (dangerous_accept_any_certificate)"
        ));
    }
    let http2 = if http2? { Http2::Offered } else { Http2::NotOffered };
    let settings = Settings { authorities, server_name, identity, verification, http2 };
    match Connector::load(settings.clone(), || system.authorities()) {
        Ok(connector) => Some(Some(connector)),
        Err(problem) => {
            let (key, instead) = answer(&problem, &settings);
            table.complain(key, problem.to_string(), instead);
            None
        }
    }
}

fn missing<T>(table: &Table<'_>, key: &str, instead: &str) -> Option<T> {
    table.complain(key, "is missing", instead);
    None
}

/// Which key a problem is about, and what to write there.
fn answer(problem: &Problem, settings: &Settings) -> (&'static str, &'static str) {
    let of = |file: &PathBuf| match &settings.identity {
        Some(identity) if *file == identity.certificate => "certificate",
        Some(identity) if *file == identity.private_key => "private_key",
        _ => "ca",
    };
    match problem {
        Problem::Unreadable { file, .. } | Problem::Missing { file, .. } | Problem::Authority { file, .. } => {
            (of(file), "write a PEM file that holds it")
        }
        Problem::NoAuthorities => {
            ("ca", "write the file with the app's authority, or install the system's authorities")
        }
        Problem::Mismatch { .. } => ("private_key", "name the certificate and the key that were made for each other"),
        Problem::Ended { .. } => ("certificate", "name a certificate that is valid"),
        Problem::Refused(_) => ("certificate", "name a certificate and a key that TLS 1.2 and 1.3 can use"),
    }
}

fn server_name(text: &str) -> Result<ServerName<'static>, Wrong> {
    ServerName::try_from(text.to_owned()).map_err(|_| {
        Wrong::new(format!("{text:?} is not a name"), "write the name in the certificate: \"wiki.internal\"")
    })
}
