//! `[provider.NAME]` with `protocol = "saml"`: what the pages of Salesforce's identity provider show.
//!
//! Either the three values that those pages print (issuer, address, certificate) or metadata that holds all three;
//! never a mixture that would leave open which one counts. Called by `config::provider`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::credential::{Shape, secret};
use super::problem::Wrong;
use super::provider::{certificates_file, kinds, organization, user_type};
use super::reader::{Table, Written};
use super::value::{choice, duration, truth, words};
use crate::http::origin::is_loopback;
use crate::identity::ProviderName;
use crate::identity::saml::metadata::Metadata;
use crate::identity::saml::setup::{Place, Setup, Source};
use crate::identity::saml::{Binding, MAX_CLOCK_SKEW, Organization, OurKey, Reauthentication, Requests, Unsolicited};
use crate::identity::xmldsig::{Certificate, Sha1};

const BINDINGS: [(&str, Binding); 2] = [("redirect", Binding::Redirect), ("post", Binding::Post)];
const CERTIFICATE: &str = "download it in Salesforce: Setup > Identity Provider > Download Certificate";

/// The keys of this protocol. `entity_id` is ours.
pub(super) fn settings(table: &Table<'_>, name: ProviderName, entity_id: String) -> Option<Setup> {
    let source = source(table);
    let binding = table.get("binding", Some("redirect"), Written::Text, |text| choice(text, &BINDINGS));
    let flag = |key: &str| table.get(key, Some("false"), Written::Truth, truth);
    let (signed, again, unsolicited) = (flag("sign_requests"), flag("force_authn"), flag("allow_idp_initiated"));
    let sha1 = flag("dangerous_accept_sha1");
    let key = key(table, signed == Some(true));
    let organizations = table.list("organizations", &[], organization);
    let organization = whose(table);
    if table.has("organizations") && !table.has("organization_attribute") {
        let what = "says what organization already says";
        table.complain("organizations", what, "leave it out: it bounds what organization_attribute may name");
    }
    let user_types = table.list("user_types", &["STANDARD"], user_type).and_then(|types| kinds(table, types));
    let skew = |text: &str| duration(text, Duration::ZERO, MAX_CLOCK_SKEW);
    let clock_skew = table.get("clock_skew", Some("60s"), Written::Text, skew);
    let bounds = |text: &str| duration(text, Duration::from_millis(100), Duration::from_secs(60));
    let timeout = table.get("timeout", Some("10s"), Written::Text, bounds);
    let ca = certificates_file(table);
    Some(Setup {
        name,
        entity_id,
        source: source?,
        binding: binding?,
        key: key?,
        requests: if signed? { Requests::Signed } else { Requests::Unsigned },
        reauthentication: if again? { Reauthentication::Required } else { Reauthentication::Unneeded },
        unsolicited: if unsolicited? { Unsolicited::Accepted } else { Unsolicited::Refused },
        organization: organization?,
        organizations: organizations?,
        user_types: user_types?,
        clock_skew: clock_skew?,
        sha1: if sha1? { Sha1::DangerouslyBelieved } else { Sha1::Refused },
        timeout: timeout?,
        ca: if table.has("ca") { Some(ca?) } else { None },
    })
}

/// Where trust comes from.
fn source(table: &Table<'_>) -> Option<Source> {
    let place = table.get("metadata", None, Written::Text, |text| place(table, text));
    let issuer = table.get("issuer", None, Written::Text, words);
    let sso_url = table.get("sso_url", None, Written::Text, address);
    let slo_url = table.get("slo_url", None, Written::Text, address);
    let certificates = table.one_or_more("certificate", |text| certificates(table, text));
    if slo_url.is_some() && !table.has("request_key") {
        let instead = "add request_key and request_certificate, or leave slo_url out: then people sign out here alone";
        table.complain("slo_url", "needs a key: Salesforce signs nobody out on an unsigned request", instead);
    }
    if table.has("metadata") {
        for key in ["sso_url", "certificate", "slo_url"] {
            if table.has(key) {
                table.complain(key, "stands beside metadata, which says it too", "leave one of them out");
            }
        }
        let issuer = if table.has("issuer") { Some(issuer?) } else { None };
        return Some(Source::Metadata { place: place?, issuer });
    }
    table.require("issuer", "copy it from Salesforce: Setup > Identity Provider > Issuer, or name the org's metadata");
    table.require("sso_url", "copy the app's SP-Initiated Redirect Endpoint from Salesforce");
    table.require("certificate", CERTIFICATE);
    let certificates: Vec<Certificate> = certificates?.into_iter().flatten().collect();
    if certificates.is_empty() && table.has("certificate") {
        table.complain("certificate", "is empty: no answer could be believed", CERTIFICATE);
    }
    let slo_url = if table.has("slo_url") { Some(slo_url?) } else { None };
    Some(Source::Pinned { issuer: issuer?, sso_url: sso_url?, slo_url, certificates })
}

/// An address that people are sent to, or that trust is fetched from.
fn address(text: &str) -> Result<Url, Wrong> {
    let instead = "copy the address from the app's page in Salesforce: it begins with https://";
    let url = Url::parse(text).map_err(|_| Wrong::new("is not an address", instead))?;
    let safe = match url.scheme() {
        "https" => url.host().is_some(),
        "http" => is_loopback(&url),
        _ => false,
    };
    if !safe {
        return Err(Wrong::new("does not begin with https://", instead));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new("contains a user name or password", instead));
    }
    if url.fragment().is_some() {
        return Err(Wrong::new("has a #", "leave out everything from # on"));
    }
    Ok(url)
}

fn place(table: &Table<'_>, text: &str) -> Result<Place, Wrong> {
    if text.contains("://") {
        return address(text).map(Place::Address);
    }
    let path = table.reader.sources.resolve(text);
    let xml = read_file(&path, "name a file with the identity provider's metadata, or its https address")?;
    Metadata::read(&xml).map_err(|problem| {
        let instead = "download it in Salesforce: Setup > Identity Provider > Download Metadata";
        Wrong::new(format!("the file {} is no metadata: {problem}", path.display()), instead)
    })?;
    Ok(Place::File(path))
}

fn certificates(table: &Table<'_>, text: &str) -> Result<Vec<Certificate>, Wrong> {
    let pem = pem(table, text, CERTIFICATE)?;
    Certificate::from_pem(&pem).map_err(|problem| Wrong::new(format!("cannot be used: {problem}"), CERTIFICATE))
}

/// The PEM text itself, or that of the file that it names.
fn pem(table: &Table<'_>, text: &str, instead: &str) -> Result<String, Wrong> {
    if text.contains("-----BEGIN ") {
        return Ok(text.to_owned());
    }
    read_file(&table.reader.sources.resolve(text), instead)
}

fn read_file(path: &PathBuf, instead: &str) -> Result<String, Wrong> {
    std::fs::read_to_string(path)
        .map_err(|error| Wrong::new(format!("the file {} cannot be read: {error}", path.display()), instead))
}

/// Our own key and its certificate. `Some(None)` is none.
fn key(table: &Table<'_>, needed: bool) -> Option<Option<Arc<OurKey>>> {
    let key = secret(table, "request_key", Shape::Pem);
    let certificate = table.get("request_certificate", None, Written::Text, |text| {
        pem(table, text, "name a PEM file with the certificate of request_key")
    });
    match (table.has("request_key"), table.has("request_certificate")) {
        (false, false) if needed => {
            let what = "has no key to sign with";
            table.complain("sign_requests", what, "add request_key and request_certificate");
            None
        }
        (false, false) => Some(None),
        (true, false) => {
            let what = "stands without its certificate, which Salesforce has to know";
            table.complain("request_key", what, "add request_certificate");
            None
        }
        (false, true) => {
            table.complain("request_certificate", "stands without its key", "add request_key");
            None
        }
        (true, true) => {
            let made = OurKey::from_pem(key?.expose(), &certificate?);
            let complain = |problem: &dyn std::fmt::Display| {
                let instead =
                    "make both: openssl req -x509 -newkey rsa:2048 -nodes -days 730 -keyout key.pem -out crt.pem";
                table.complain("request_certificate", format!("does not go with request_key: {problem}"), instead);
            };
            made.map_err(|problem| complain(&problem)).ok().map(|key| Some(Arc::new(key)))
        }
    }
}

/// Whose users they are.
fn whose(table: &Table<'_>) -> Option<Organization> {
    let id = table.get("organization", None, Written::Text, organization);
    let attribute = table.get("organization_attribute", None, Written::Text, words);
    match (table.has("organization"), table.has("organization_attribute")) {
        (true, true) => {
            let what = "stands beside organization";
            table.complain("organization_attribute", what, "keep one of them: the id, or the attribute that holds it");
            None
        }
        (false, false) => {
            let instead = "copy it from Salesforce: Setup > Company Information > Salesforce.com Organization ID (it \
                           begins with 00D); or write organization_attribute with a custom attribute that holds it";
            table.complain("organization", "is missing: Salesforce's answers do not say whose users they are", instead);
            None
        }
        (true, false) => Some(Organization::Known(id?)),
        (false, true) => Some(Organization::Attribute(attribute?)),
    }
}

#[cfg(test)]
mod tests;
