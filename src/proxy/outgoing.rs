//! A request on its way to an app: what the client sent, cleaned, and behind it what we add.
//!
//! What we add is known as text, and an app's connection wants text: nearly always it is written behind the other
//! fields as it is, and never becomes entries of the map and text again. Whoever needs a map (hyper's client, HTTP/2)
//! gets both in one. Either way it comes after the cleaning and beside it, where no client can nominate it away
//! (CVE-2024-45410), and what is written is what is merged, because one is read from the other. Made by
//! `proxy::rewrite`, sent by `proxy::group` and `proxy::upstream`.

use std::time::Instant;

use bytes::Bytes;
use hyper::header::{COOKIE, HOST, HeaderName, HeaderValue, VIA};
use hyper::http::uri::PathAndQuery;
use hyper::{HeaderMap, Method, Uri};

use super::headers::Forwarded;
use super::upstream::{has_safe_method, is_safe, lean, spare};
use crate::http::fields::{Fields, Received};
use crate::http::interim::Sender;
use crate::http::lines::Lines;
use crate::http::{Body, Request};
use crate::session::IdentityHeaders;

/// About how much we add.
const ROOM: usize = 1024;

/// A request on its way to an app.
#[derive(Debug)]
pub struct Outgoing<'a> {
    cleaned: Cleaned<'a>,
    added: Added<'a>,
    /// Who hears what the app says before its answer.
    interim: Option<&'a Sender>,
    /// When it came, until somebody has been asked.
    came: Option<Instant>,
}

/// What is left of what the client sent.
#[derive(Debug)]
enum Cleaned<'a> {
    Plain(Plain<'a>),
    /// Boxed, because few are and each would be as large.
    Whole(Box<Request>, Shape),
}

/// A request that is nothing but a head, cleaned. What it is made of stays where it came.
#[derive(Clone, Debug)]
pub struct Plain<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The canonical target: what was judged.
    pub target: &'a PathAndQuery,
    /// Its fields.
    pub lines: &'a Received,
    /// The host that was judged, where `lines` has none any more.
    pub host: Option<&'a HeaderValue>,
    /// The cookies that are not ours, where `lines` has none any more.
    pub cookies: Vec<u8>,
}

impl Plain<'_> {
    fn write(&self, to: &mut Vec<u8>) {
        self.lines.write(to);
        if let Some(host) = self.host {
            write_line(&HOST, host.as_bytes(), to);
        }
        if !self.cookies.is_empty() {
            write_line(&COOKIE, &self.cookies, to);
        }
    }

    /// The same with a map of its fields.
    fn request(self) -> Request {
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.target.clone());
        let map = request.headers_mut();
        *map = self.lines.map();
        if let Some(host) = self.host {
            map.insert(HOST, host.clone());
        }
        // What is left of a value is one.
        if let (false, Ok(cookies)) = (self.cookies.is_empty(), HeaderValue::try_from(self.cookies)) {
            map.insert(COOKIE, cookies);
        }
        request
    }
}

fn write_line(name: &HeaderName, value: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(name.as_str().as_bytes());
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

/// What we add to a request.
#[derive(Clone, Debug, Default)]
pub struct Added<'a> {
    /// How it came here.
    pub forwarded: Option<Forwarded<'a>>,
    /// Who asks.
    pub identity: Option<&'a IdentityHeaders>,
    /// What the client's certificate says.
    pub certificate: Option<&'a Lines>,
}

/// What is known of a request's outline without another look at its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing but a head: no body and none announced, no upgrade.
    Head,
    /// Nothing is known.
    Any,
}

impl Added<'_> {
    /// Writes it as lines. Its types allow no line's end within one.
    fn write(&self, to: &mut Vec<u8>) {
        if let Some(forwarded) = &self.forwarded {
            forwarded.write(to);
        }
        if let Some(identity) = self.identity {
            to.extend_from_slice(identity.lines());
        }
        if let Some(certificate) = self.certificate {
            to.extend_from_slice(certificate.text());
        }
    }

    /// Puts it into a map, in place of what has the same names; a `Via` goes behind those of others.
    fn merge(&self, headers: &mut HeaderMap) {
        let mut text = Vec::with_capacity(ROOM);
        self.write(&mut text);
        let text = Bytes::from(text);
        let identity = self.identity.map_or(&[][..], IdentityHeaders::names);
        let certificate = self.certificate.map_or(&[][..], Lines::names);
        let known = |name: &[u8]| {
            let is_it = |ours: &HeaderName| ours.as_str().as_bytes() == name;
            let told = || identity.iter().chain(certificate).find(|ours| is_it(ours)).cloned();
            Forwarded::NAMES.into_iter().find(is_it).or_else(told)
        };
        for line in text.split(|byte| *byte == b'\n') {
            let Some(line) = line.strip_suffix(b"\r") else { continue };
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = line.split_at(colon);
            let value = value.strip_prefix(b": ").unwrap_or_default();
            let (Some(name), Ok(value)) = (known(name), HeaderValue::from_maybe_shared(text.slice_ref(value))) else {
                continue;
            };
            if name == VIA {
                headers.append(name, value);
            } else {
                headers.insert(name, value);
            }
        }
    }
}

impl<'a> Outgoing<'a> {
    /// `cleaned`, and what we add to it.
    pub fn new(cleaned: Box<Request>, added: Added<'a>, shape: Shape) -> Self {
        Self { cleaned: Cleaned::Whole(cleaned, shape), added, interim: None, came: None }
    }

    /// A request that is nothing but a head, and what we add to it.
    pub fn plain(cleaned: Plain<'a>, added: Added<'a>) -> Self {
        Self { cleaned: Cleaned::Plain(cleaned), added, interim: None, came: None }
    }

    /// With somebody who hears what the app says before its answer.
    #[must_use]
    pub fn heard_by(self, interim: Option<&'a Sender>) -> Self {
        Self { interim, ..self }
    }

    /// Having come at this moment, which is hardly past.
    #[must_use]
    pub fn coming_at(self, now: Instant) -> Self {
        Self { came: Some(now), ..self }
    }

    /// When it is sent: for the first time that is when it came, as far as clocks matter here.
    pub fn sent_at(&mut self) -> Instant {
        self.came.take().unwrap_or_else(Instant::now)
    }

    /// Who hears that, also when it has been made whole already.
    pub fn interim(&self) -> Option<&Sender> {
        self.interim.or_else(|| match &self.cleaned {
            Cleaned::Plain(_) => None,
            Cleaned::Whole(request, _) => request.extensions().get(),
        })
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        match &self.cleaned {
            Cleaned::Plain(plain) => plain.method,
            Cleaned::Whole(request, _) => request.method(),
        }
    }

    /// Its target.
    pub fn target(&self) -> &str {
        match &self.cleaned {
            Cleaned::Plain(plain) => plain.target.as_str(),
            Cleaned::Whole(request, _) => request.uri().path_and_query().map_or("/", PathAndQuery::as_str),
        }
    }

    /// Whether it is nothing but a head.
    pub fn is_plain(&self) -> bool {
        match &self.cleaned {
            Cleaned::Plain(_) | Cleaned::Whole(_, Shape::Head) => true,
            Cleaned::Whole(request, Shape::Any) => lean::is_plain(request),
        }
    }

    /// Whether it may be acted on twice: a safe method, no body.
    pub fn is_safe(&self) -> bool {
        match &self.cleaned {
            Cleaned::Plain(plain) => has_safe_method(plain.method),
            Cleaned::Whole(request, _) => is_safe(request),
        }
    }

    /// A copy without a body.
    pub fn spare(&self) -> Self {
        let cleaned = match &self.cleaned {
            Cleaned::Plain(plain) => Cleaned::Plain(plain.clone()),
            Cleaned::Whole(request, shape) => Cleaned::Whole(Box::new(spare(request)), *shape),
        };
        Self { cleaned, added: self.added.clone(), interim: self.interim, came: None }
    }

    /// It itself, which leaves nothing of it behind.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self::from(Request::default()))
    }

    /// Writes the lines of its fields, ours at their end.
    pub fn write_fields(&self, to: &mut Vec<u8>) {
        match &self.cleaned {
            Cleaned::Plain(plain) => plain.write(to),
            Cleaned::Whole(request, _) => {
                Fields::from(request.headers()).into_iter().for_each(|field| field.write(to));
            }
        }
        self.added.write(to);
    }

    /// What the client sent of it and what we add in one; who hears what comes before the answer is in its extensions.
    pub fn whole(self) -> Request {
        let mut request = match self.cleaned {
            Cleaned::Plain(plain) => plain.request(),
            Cleaned::Whole(request, _) => *request,
        };
        self.added.merge(request.headers_mut());
        if let Some(sender) = self.interim {
            request.extensions_mut().insert(sender.clone());
        }
        request
    }
}

/// A request to which nothing is to be added.
impl From<Request> for Outgoing<'_> {
    fn from(whole: Request) -> Self {
        Self::new(Box::new(whole), Added::default(), Shape::Any)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use super::super::headers::{Forwarding, clean_request};
    use super::super::inject::{Injector, Preset, Settings, Source};
    use super::super::survey::Survey;
    use super::*;
    use crate::http::{Body, Neighbours, Scheme};

    const NAMES: [&str; 3] = ["x-forwarded-user", "x-forwarded-email", "x-department"];

    fn identity() -> IdentityHeaders {
        let names: Arc<[HeaderName]> = NAMES.map(HeaderName::from_static).into();
        IdentityHeaders::new(names, &[Some("ada: x".to_owned()), None, Some("one, two".to_owned())])
    }

    /// What `lines` make of a request, with what we add to it.
    fn outgoing<'a>(lines: &[(&'static str, &'static str)], identity: &'a IdentityHeaders) -> Outgoing<'a> {
        static HOST: HeaderValue = HeaderValue::from_static("wiki.example");
        static NOBODY: Neighbours = Neighbours(Vec::new());
        let custom = vec![(HeaderName::from_static("x-department"), Source::Name)];
        let injector = Injector::new(&Settings { presets: Preset::ALL.to_vec(), custom });
        let mut request = Request::new(Body::Empty);
        for (name, value) in lines {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        let survey = Survey::of(request.headers().into(), injector.managed());
        let peer = SocketAddr::from(([192, 0, 2, 1], 5)).into();
        let forwarding = Forwarding { peer, trusted: &NOBODY, scheme: Scheme::Https, host: &HOST };
        let forwarded = Some(clean_request(request.headers_mut(), survey, forwarding));
        injector.managed().remove(request.headers_mut());
        Outgoing::new(Box::new(request), Added { forwarded, identity: Some(identity), certificate: None }, Shape::Head)
    }

    /// As it is written: the map's lines, then ours.
    fn written(outgoing: &Outgoing<'_>) -> Vec<(String, String)> {
        let mut text = Vec::new();
        outgoing.write_fields(&mut text);
        let text = String::from_utf8(text).unwrap();
        assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
        let line = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
        text.split_terminator("\r\n").map(line).collect()
    }

    fn merged(outgoing: Outgoing<'_>) -> Vec<(String, String)> {
        let whole = outgoing.whole();
        let line = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
        whole.headers().iter().map(line).collect()
    }

    #[test]
    fn what_is_merged_is_what_is_written() {
        let identity = identity();
        let lines = [("accept", "*/*"), ("via", "1.0 other"), ("cookie", "a=b"), ("cookie", "c=d")];
        let (mut written, mut merged) = (written(&outgoing(&lines, &identity)), merged(outgoing(&lines, &identity)));
        written.sort();
        merged.sort();
        assert_eq!(written, merged);
        let has = |name: &str, value: &str| merged.contains(&(name.to_owned(), value.to_owned()));
        assert!(has("x-forwarded-user", "ada: x") && has("x-department", "one, two"), "{merged:?}");
        assert!(has("via", "1.0 other") && has("via", "1.1 portcullis") && has("cookie", "c=d"), "{merged:?}");
        assert!(has("forwarded", "for=192.0.2.1;host=\"wiki.example\";proto=https"), "{merged:?}");
    }

    #[test]
    fn nobody_nominates_away_or_stands_beside_what_we_add() {
        let identity = identity();
        let lies = [
            ("connection", "x-forwarded-user, x-department, x-forwarded-for, via, forwarded"),
            ("x-forwarded-user", "eve"),
            ("x_forwarded_user", "eve"),
            ("x-forwarded-email", "eve@example.com"),
            ("x-department", "board"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "evil.example"),
        ];
        for lines in [written(&outgoing(&lies, &identity)), merged(outgoing(&lies, &identity))] {
            let values = |name: &str| {
                let ours = lines.iter().filter(|(theirs, _)| theirs == name);
                ours.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
            };
            assert_eq!(values("x-forwarded-user"), ["ada: x"]);
            assert_eq!(values("x-forwarded-email"), [""; 0], "who has none is not lent somebody's");
            assert_eq!(values("x-department"), ["one, two"]);
            assert_eq!(values("x-forwarded-for"), ["192.0.2.1"]);
            assert_eq!(values("x-forwarded-host"), ["wiki.example"]);
            assert_eq!(values("via"), ["1.1 portcullis"]);
            assert!(!lines.iter().any(|(name, value)| name == "x_forwarded_user" || value.contains("eve")));
        }
    }

    #[test]
    fn what_is_in_a_map_already_is_replaced() {
        let identity = identity();
        let mut request = Request::new(Body::Empty);
        request.headers_mut().append("x-forwarded-user", HeaderValue::from_static("eve"));
        request.headers_mut().append("x-forwarded-user", HeaderValue::from_static("mallory"));
        let added = Added { identity: Some(&identity), ..Added::default() };
        let lines = merged(Outgoing::new(Box::new(request), added, Shape::Any));
        assert_eq!(lines.iter().filter(|(name, _)| name == "x-forwarded-user").count(), 1);
    }

    #[test]
    fn nothing_is_added_to_a_request_of_our_own() {
        let mut request = Request::new(Body::Empty);
        request.headers_mut().append("host", HeaderValue::from_static("wiki.example"));
        let outgoing = Outgoing::from(request);
        assert_eq!(written(&outgoing).len(), 1);
        assert_eq!(merged(outgoing).len(), 1);
    }
}
