//! The identity headers that the app receives, and the names that nobody else may send.
//!
//! An app believes these blindly, so there are two cases and no third: our value, or nothing. A client's header
//! of a managed name is removed in every spelling, because CGI, WSGI and PHP applications fold them together
//! (CVE-2025-64484: `X_Forwarded_User` survived and was read as the trusted name). Values are rendered once,
//! when the session is made. Called by `login` (render) and by `proxy` (apply, remove).

use std::borrow::Cow;
use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderName;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::Value;

use super::introduce::{Introducer, Part};
use crate::identity::Identity;
use crate::session::IdentityHeaders;

/// The longest rendered value, in bytes; a longer one is left out.
pub const MAX_VALUE: usize = 4096;

/// What is percent-encoded in a value: everything but visible ASCII and space, and `%` itself, so that
/// decoding once gives the original back.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// By which proxies tell of a client's certificate, and must let nobody else (RFC 9440 section 4).
const CERTIFICATES: [&str; 2] = ["client-cert", "client-cert-chain"];

/// Which identity headers the app receives.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Families of names. Default: `forwarded` and `salesforce`.
    pub presets: Vec<Preset>,
    /// `[headers.custom]`: a name and what to put there.
    pub custom: Vec<(HeaderName, Source)>,
}

/// A family of header names that apps already know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// `X-Forwarded-User`, `-Email`, `-Preferred-Username`.
    Forwarded,
    /// `X-Salesforce-User-Id`, `-Organization-Id`, `-User-Type`.
    Salesforce,
    /// `X-Auth-Request-User`, `-Email`, `-Preferred-Username`, as oauth2-proxy sends to nginx.
    AuthRequest,
    /// `Remote-User`, `-Email`, `-Name`, as Authelia sends.
    Remote,
}

impl Preset {
    /// Every preset. The names of all of them are managed, whether they are sent or not.
    pub const ALL: [Self; 4] = [Self::Forwarded, Self::Salesforce, Self::AuthRequest, Self::Remote];

    /// The names of this family and what they say.
    pub fn headers(self) -> [(&'static str, Source); 3] {
        match self {
            Self::Forwarded => [
                ("x-forwarded-user", Source::UserKey),
                ("x-forwarded-email", Source::Email),
                ("x-forwarded-preferred-username", Source::Username),
            ],
            Self::Salesforce => [
                ("x-salesforce-user-id", Source::UserId),
                ("x-salesforce-organization-id", Source::OrganizationId),
                ("x-salesforce-user-type", Source::UserType),
            ],
            Self::AuthRequest => [
                ("x-auth-request-user", Source::UserKey),
                ("x-auth-request-email", Source::Email),
                ("x-auth-request-preferred-username", Source::Username),
            ],
            Self::Remote => {
                [("remote-user", Source::UserKey), ("remote-email", Source::Email), ("remote-name", Source::Name)]
            }
        }
    }
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The stable key `user@organization`, 18 characters each.
    UserKey,
    /// The 18-character user id.
    UserId,
    /// The 18-character organization id.
    OrganizationId,
    /// The Salesforce username.
    Username,
    /// The e-mail address.
    Email,
    /// The person's name.
    Name,
    /// `STANDARD` and so on.
    UserType,
    /// Any claim by its path, such as `custom_attributes.department`.
    Claim(Vec<String>),
    /// Nothing about the person, but about the certificate that the client has shown.
    Certificate(Part),
}

impl Source {
    /// As a header value.
    fn render(&self, identity: &Identity) -> Option<String> {
        let text = match self {
            Self::UserKey => Some(format!("{}@{}", identity.user, identity.organization)),
            Self::UserId => Some(identity.user.to_string()),
            Self::OrganizationId => Some(identity.organization.to_string()),
            Self::Username => Some(identity.username.clone()),
            Self::Email => identity.email.clone(),
            Self::Name => identity.name.clone(),
            Self::UserType => identity.user_type.clone(),
            Self::Claim(path) => {
                let (last, parents) = path.split_last()?;
                let mut table = &identity.claims;
                for name in parents {
                    table = table.get(name)?.as_object()?;
                }
                return render_claim(table.get(last)?);
            }
            Self::Certificate(_) => None,
        };
        text.as_deref().map(finish)
    }
}

/// Text as it is, numbers and booleans as JSON writes them, lists joined by `,` (a comma inside an element is
/// percent-encoded, so that splitting is safe), anything else not at all.
fn render_claim(value: &Value) -> Option<String> {
    if let Value::Array(elements) = value {
        let texts: Option<Vec<Cow<'_, str>>> = elements.iter().map(text_of).collect();
        return Some(join(texts?.iter().map(AsRef::as_ref)));
    }
    text_of(value).map(|text| finish(&text))
}

fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(_) | Value::Bool(_) => Some(Cow::Owned(value.to_string())),
        Value::Array(_) | Value::Object(_) | Value::Null => None,
    }
}

/// The names that only we may send, and how to fill those that are switched on.
#[derive(Debug)]
pub struct Injector {
    names: Arc<[HeaderName]>,
    sources: Vec<Source>,
    introducer: Introducer,
    managed: Managed,
}

impl Injector {
    /// From the configuration.
    pub fn new(settings: &Settings) -> Self {
        let presets = settings.presets.iter().flat_map(|preset| preset.headers());
        let presets = presets.map(|(name, source)| (HeaderName::from_static(name), source));
        let mut sent: Vec<(HeaderName, Source)> = Vec::new();
        for (name, source) in presets.chain(settings.custom.iter().cloned()) {
            // Each is sent once, however often it is named: an app might read either of two lines.
            match sent.iter_mut().find(|(other, _)| *other == name) {
                Some((_, earlier)) => *earlier = source,
                None => sent.push((name, source)),
            }
        }
        let mut introduced = Vec::new();
        sent.retain(|(name, source)| match source {
            Source::Certificate(part) => {
                introduced.push((name.clone(), *part));
                false
            }
            _ => true,
        });
        let (names, sources): (Vec<HeaderName>, Vec<Source>) = sent.into_iter().unzip();
        // Where an app is told of certificates at all, it may read them by their own names too.
        let standard = if introduced.is_empty() { &[][..] } else { &CERTIFICATES };
        let custom = settings.custom.iter().map(|(name, _)| name.as_str());
        let managed = Managed::new(custom.chain(standard.iter().copied()));
        Self { names: names.into(), sources, introducer: Introducer::new(introduced), managed }
    }

    /// The headers of a person: values that are empty or too long are left out.
    pub fn render(&self, identity: &Identity) -> IdentityHeaders {
        let render = |(name, source): (&HeaderName, &Source)| {
            let value = source.render(identity)?;
            if value.is_empty() || value.len() > MAX_VALUE {
                tracing::warn!(header = %name, length = value.len(), "an identity header is left out: empty or too long");
                return None;
            }
            Some(value)
        };
        let texts: Vec<Option<String>> = self.names.iter().zip(&self.sources).map(render).collect();
        IdentityHeaders::new(Arc::clone(&self.names), &texts)
    }

    /// Removes every spelling of a managed name.
    pub fn remove_claims(&self, headers: &mut HeaderMap) {
        self.managed.remove(headers);
    }

    /// What tells about clients' certificates.
    pub fn introducer(&self) -> &Introducer {
        &self.introducer
    }

    /// The managed names, for trailers.
    pub fn managed(&self) -> &Managed {
        &self.managed
    }
}

/// One text as a header value: UTF-8, percent-encoded but for visible ASCII and inner spaces.
pub(super) fn finish(text: &str) -> String {
    utf8_percent_encode(text.trim(), ENCODED).to_string()
}

/// Texts as one header value: joined by `,`, which splits them again.
pub(super) fn join<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let encoded = texts.into_iter().map(|text| utf8_percent_encode(text, ENCODED).to_string().replace(',', "%2C"));
    encoded.collect::<Vec<_>>().join(",").trim().to_owned()
}

/// Names that only we may send, compared with case and every non-alphanumeric folded away.
#[derive(Clone, Debug)]
pub struct Managed {
    /// Folded, sorted.
    names: Vec<Box<[u8]>>,
    /// Bit n: some name has n bytes (63 stands for all longer ones).
    lengths: u64,
    /// Which folded bytes names and families begin with.
    initials: u128,
}

/// Every name that begins so is managed, whatever follows: apps that read one name of a family read its
/// siblings too, and a client's own `Remote-Groups` beside our `Remote-User` would make anybody an administrator.
const FAMILIES: [&[u8]; 6] =
    [b"x-salesforce-", b"x-portcullis-", b"x-auth-request-", b"remote-", b"x-webauth-", b"x-remote-"];

/// The longest family prefix or managed name that is compared without an allocation.
const MAX_NAME: usize = 128;

impl Managed {
    fn new<'a>(custom: impl Iterator<Item = &'a str>) -> Self {
        let presets = Preset::ALL.into_iter().flat_map(|preset| preset.headers().map(|(name, _)| name));
        let mut names: Vec<Box<[u8]>> = presets.chain(custom).map(|name| name.bytes().map(fold).collect()).collect();
        names.sort_unstable();
        names.dedup();
        let lengths = names.iter().fold(0, |bits, name| bits | length_bit(name.len()));
        let firsts = names.iter().map(AsRef::as_ref).chain(FAMILIES).filter_map(|name: &[u8]| name.first());
        let initials = firsts.fold(0, |bits, first| bits | initial_bit(*first));
        Self { names, lengths, initials }
    }

    /// Whether any of these names, in any spelling, begins with that byte.
    pub fn may_begin_with(&self, first: u8) -> bool {
        self.initials & initial_bit(fold(first)) != 0
    }

    /// Whether a header name, in any spelling, is ours alone.
    pub fn contains(&self, name: impl AsRef<[u8]>) -> bool {
        let bytes = name.as_ref();
        let family = |family: &&[u8]| {
            bytes.len() >= family.len() && family.iter().zip(bytes).all(|(theirs, ours)| *theirs == fold(*ours))
        };
        // Cheap answers first: nearly every header of a browser fails on its first letters or its length.
        let letter = |place: usize| bytes.get(place).map_or(0, |byte| fold(*byte));
        let first = letter(0);
        if matches!((first, letter(2)), (b'x', b's' | b'p' | b'a' | b'w' | b'r') | (b'r', b'm'))
            && FAMILIES.iter().any(family)
        {
            return true;
        }
        if self.lengths & length_bit(bytes.len()) == 0 || bytes.len() > MAX_NAME {
            return bytes.len() > MAX_NAME && self.names.iter().any(|ours| same_folded(ours, bytes));
        }
        self.names
            .iter()
            .any(|ours| ours.len() == bytes.len() && ours.first() == Some(&first) && same_folded(ours, bytes))
    }

    /// Removes every header of these names.
    pub fn remove(&self, headers: &mut HeaderMap) {
        if !headers.keys().any(|name| self.contains(name)) {
            return;
        }
        let doomed: Vec<HeaderName> = headers.keys().filter(|name| self.contains(name)).cloned().collect();
        for name in doomed {
            headers.remove(name);
        }
    }
}

fn same_folded(folded: &[u8], name: &[u8]) -> bool {
    // From the end, because these names have their beginnings in common.
    folded.len() == name.len() && folded.iter().zip(name).rev().all(|(ours, theirs)| *ours == fold(*theirs))
}

/// Folded bytes are ASCII.
fn initial_bit(folded: u8) -> u128 {
    1 << (folded & 0x7f)
}

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// Lower case, and `-` for everything that is neither letter nor digit.
fn fold(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

#[cfg(test)]
mod tests;
