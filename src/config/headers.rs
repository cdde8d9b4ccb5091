//! `[headers]`: which identity headers apps receive.
//!
//! A name that means something to HTTP itself would let one person's display name reframe a request, and two
//! names that fold to one variable in CGI (`X-User`, `X_User`) would let one overwrite the other: both are
//! refused. Called by `config::file`.

use hyper::header::HeaderName;

use super::problem::Wrong;
use super::reader::Table;
use super::value::{choice, nearest};
use crate::proxy::inject::{Preset, Settings, Source};
use crate::proxy::introduce::Part;
use crate::x509::Alternative;

const PRESETS: [(&str, Preset); 4] = [
    ("forwarded", Preset::Forwarded),
    ("salesforce", Preset::Salesforce),
    ("auth-request", Preset::AuthRequest),
    ("remote", Preset::Remote),
];

const SOURCES: [(&str, Source); 15] = [
    ("user_key", Source::UserKey),
    ("user_id", Source::UserId),
    ("organization_id", Source::OrganizationId),
    ("username", Source::Username),
    ("email", Source::Email),
    ("name", Source::Name),
    ("user_type", Source::UserType),
    ("client_certificate.subject", Source::Certificate(Part::Subject)),
    ("client_certificate.issuer", Source::Certificate(Part::Issuer)),
    ("client_certificate.serial", Source::Certificate(Part::Serial)),
    ("client_certificate.fingerprint", Source::Certificate(Part::Fingerprint)),
    ("client_certificate.san_dns", Source::Certificate(Part::Alternatives(Alternative::Dns))),
    ("client_certificate.san_email", Source::Certificate(Part::Alternatives(Alternative::Email))),
    ("client_certificate.san_uri", Source::Certificate(Part::Alternatives(Alternative::Uri))),
    ("client_certificate.der", Source::Certificate(Part::Whole)),
];

/// Names with a meaning of their own in requests, folded; those that end with `-` begin a family.
const TAKEN: [&str; 79] = [
    "accept",
    "accept-",
    "access-control-",
    "allow",
    "alt-used",
    "authorization",
    "cache-control",
    "cf-connecting-ip",
    "client-ip",
    "connection",
    "content-",
    "cookie",
    "cookie2",
    "date",
    "destination",
    "dnt",
    "early-data",
    "expect",
    "expires",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "if-",
    "keep-alive",
    "last-event-id",
    "link",
    "location",
    "max-forwards",
    "origin",
    "ping-",
    "pragma",
    "prefer",
    "priority",
    "proxy",
    "proxy-",
    "range",
    "referer",
    "refresh",
    "sec-",
    "server",
    "set-cookie",
    "set-cookie2",
    "strict-transport-security",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "warning",
    "www-authenticate",
    "x-accel-mapping",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-http-method-override",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-portcullis-",
    "x-real-ip",
    "x-request-id",
    "x-rewrite-url",
    "x-script-name",
    "x-sendfile-type",
];

/// `[headers]`.
pub(super) fn read(root: &Table<'_>) -> Option<Settings> {
    let table = root.table("headers");
    let presets = table.list("presets", &["forwarded", "salesforce"], |text| choice(text, &PRESETS));
    let mapping = table.table("custom");
    let mut custom: Vec<(HeaderName, Source)> = Vec::new();
    let mut folded: Vec<(String, String)> = Vec::new();
    let preset_names = presets.iter().flatten().flat_map(|preset| preset.headers());
    folded.extend(preset_names.map(|(name, _)| (fold(name), "a preset".to_owned())));
    let asks_clients = root.table("tls").has("client_ca");
    let mut sound = true;
    for (key, text) in mapping.pairs("X-Name") {
        let header = name(&key, &folded);
        let source = source(&text, asks_clients);
        match (header, source) {
            (Ok(header), Ok(source)) => {
                folded.push((fold(&key), format!("{key:?}")));
                custom.push((header, source));
            }
            (header, source) => {
                sound = false;
                for wrong in [header.err(), source.err()].into_iter().flatten() {
                    mapping.complain(&key, wrong.what, wrong.instead);
                }
            }
        }
    }
    mapping.finish();
    table.finish();
    let presets = presets?;
    sound.then_some(Settings { presets, custom })
}

fn name(text: &str, others: &[(String, String)]) -> Result<HeaderName, Wrong> {
    let example = "write for example \"X-Department\"";
    let header = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Wrong::new(format!("{text:?} cannot be the name of a header"), example))?;
    let folded = fold(text);
    let taken =
        TAKEN.iter().any(|taken| if taken.ends_with('-') { folded.starts_with(taken) } else { folded == *taken });
    if taken {
        return Err(Wrong::new(format!("{text:?} has a meaning of its own in every request"), example));
    }
    if let Some((_, other)) = others.iter().find(|(other, _)| *other == folded) {
        return Err(Wrong::new(
            format!("{text:?} reads the same as {other} once everything but letters and digits is folded"),
            "give it another name",
        ));
    }
    Ok(header)
}

fn source(text: &str, asks_clients: bool) -> Result<Source, Wrong> {
    if let Some(path) = text.strip_prefix("claims.") {
        let steps: Vec<String> = path.split('.').map(str::to_owned).collect();
        if steps.iter().any(String::is_empty) {
            return Err(Wrong::new(
                format!("{text:?} has an empty step"),
                "write for example \"claims.custom_attributes.department\"",
            ));
        }
        return Ok(Source::Claim(steps));
    }
    if let Some((_, source)) = SOURCES.into_iter().find(|(word, _)| *word == text) {
        if matches!(source, Source::Certificate(_)) && !asks_clients {
            return Err(Wrong::new(
                format!("{text:?} is of the client's certificate, and no client is asked for one"),
                "write in tls.client_ca the PEM file with the certificates that sign clients' certificates",
            ));
        }
        return Ok(source);
    }
    let words = SOURCES.map(|(word, _)| word);
    let instead = match nearest(text, words) {
        Some(word) => format!("did you mean {word:?}?"),
        None => format!("write one of {}, or \"claims.PATH\"", words.join(", ")),
    };
    Err(Wrong::new(format!("{text:?} is not a source of identity"), instead))
}

fn fold(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}
