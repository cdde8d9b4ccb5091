//! Our cookies: their names and flags, reading them, and keeping them from the app.
//!
//! `__Host-` names (RFC 6265bis section 4.1.3.2) cannot be set by a sibling host or over plain text. Several
//! cookies of our name are still possible where the prefix is relaxed, so every value is tried. The app never
//! sees a cookie of ours and can never set one. Called by `gateway` (read), `proxy` (strip, drop) and `login`.

use aws_lc_rs::digest::{SHA256, digest};
use cookie::time::Duration;
use cookie::{Cookie, SameSite};
use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue, SET_COOKIE};

use super::SessionKey;
use crate::http::fields::Fields;
use crate::identity::Secrets;

/// What our cookies demand of the browser's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `__Host-` names and `Secure`: the public addresses are https.
    Secure,
    /// Plain names without `Secure`: for `http://localhost`, or where the configuration says `dangerous`.
    Relaxed,
}

/// At most this many cookies of our session name are looked at; a browser sends one.
const MAX_CANDIDATES: usize = 4;

/// The length of a session id in a cookie: 32 bytes as base64url.
const ID_LENGTH: usize = 43;

/// What every cookie name of ours begins with, whatever the policy, after `__Host-` is taken off.
const FAMILY: &str = "portcullis";

impl Policy {
    /// The session cookie's name.
    pub fn session_name(self) -> &'static str {
        match self {
            Self::Secure => "__Host-portcullis",
            Self::Relaxed => "portcullis",
        }
    }

    /// What the names of login attempts' cookies begin with.
    pub fn attempt_prefix(self) -> &'static str {
        match self {
            Self::Secure => "__Host-portcullis-attempt-",
            Self::Relaxed => "portcullis-attempt-",
        }
    }

    /// The cookie that counts completed sign-ins, for the loop breaker.
    pub fn bounce_name(self) -> &'static str {
        match self {
            Self::Secure => "__Host-portcullis-bounce",
            Self::Relaxed => "portcullis-bounce",
        }
    }
}

impl SessionKey {
    /// The key of the session with that id.
    pub fn of(id: impl AsRef<[u8]>) -> Self {
        let hash = digest(&SHA256, id.as_ref());
        let mut key = [0; 32];
        key.copy_from_slice(hash.as_ref());
        Self(key)
    }
}

/// What may stand around a name and a value.
const BLANK: [char; 2] = [' ', '\t'];

/// The pairs of one line. A line may be long, and is walked twice for each request.
fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    memchr::memchr_iter(b';', line).chain([line.len()]).filter_map(move |end| {
        let pair = line.get(begin..end);
        begin = end + 1;
        pair
    })
}

/// All cookies of a request, as name and value, over all lines (HTTP/2 may send one for each cookie, RFC 9113
/// section 8.2.3). A pair that is no text is left out alone: an app's Latin-1 cookie must not hide ours beside
/// it, which would sign its browser in again and again. Around names and values only spaces and tabs are left out, as
/// browsers do (RFC 6265bis section 5.6): to them a name behind any other white space is another name, which no prefix
/// protects from sibling hosts.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(COOKIE)
        .into_iter()
        .flat_map(|line| split(line.as_bytes()))
        .filter_map(|pair| std::str::from_utf8(pair).ok())
        .map(|pair| pair.split_once('=').unwrap_or(("", pair)))
        .map(|(name, value)| (name.trim_matches(BLANK), value.trim_matches(BLANK)))
}

/// The keys of the session cookies that the browser sent: well-formed ids only, each once, a handful at most.
pub fn read_session(fields: Fields<'_>, policy: Policy) -> impl Iterator<Item = SessionKey> {
    let name = policy.session_name().as_bytes();
    fields
        .values(&COOKIE)
        .flat_map(split)
        .filter_map(move |pair| id_in(pair, name))
        .take(MAX_CANDIDATES)
        .map(SessionKey::of)
}

/// The id in a pair, if that is one of `name` and well-formed. Of the other pairs it reads the first letters alone.
fn id_in<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = pair.trim_ascii_start().strip_prefix(name)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii();
    // No early end: the whole is compared in wide steps.
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() | (*byte == b'-') | (*byte == b'_');
    let is_id = value.len() == ID_LENGTH && value.iter().fold(true, |fits, byte| fits & is_letter(byte));
    is_id.then_some(value)
}

/// The values of all cookies called `name`.
pub fn read<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    pairs(headers).filter(move |(theirs, _)| *theirs == name).map(|(_, value)| value)
}

/// The names and values of all cookies whose names begin with `prefix`.
pub fn read_family<'a>(headers: &'a HeaderMap, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    pairs(headers).filter(move |(name, _)| name.starts_with(prefix))
}

/// Whether a cookie name is one of ours, under either policy and in any case (browsers compare the prefix
/// without regard to it).
fn is_ours(name: &[u8]) -> bool {
    let bare = match name.get(..7) {
        Some(prefix) if prefix.eq_ignore_ascii_case(b"__host-") => &name[7..],
        _ => name,
    };
    bare.get(..FAMILY.len()).is_some_and(|start| start.eq_ignore_ascii_case(FAMILY.as_bytes()))
}

/// The name as the other side will read it. A browser sends a cookie without a name (`=portcullis=x`, RFC
/// 6265bis section 5.6) back as its value alone, so leading `=` do not count.
fn name_of(pair: &[u8]) -> &[u8] {
    let begin = pair.iter().position(|byte| *byte != b'=' && !byte.is_ascii_whitespace()).unwrap_or(pair.len());
    pair[begin..].split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii()
}

/// What becomes of the `Cookie` lines of a request on its way to an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stripped {
    /// They stay as they are: one at most, and nothing of ours in it.
    Unchanged,
    /// They become this line; none if it is empty.
    Line(Vec<u8>),
}

/// Takes our cookies out of a request's lines and joins what is left into one, which is what HTTP/1.1 apps expect (RFC
/// 9113 section 8.2.3: "concatenated into a single octet string using the two-octet delimiter").
pub fn stripped<'a>(cookies: impl Iterator<Item = &'a [u8]>) -> Stripped {
    let (mut lines, mut any_ours) = (0, false);
    let mut kept = Vec::new();
    for line in cookies {
        lines += 1;
        for pair in split(line) {
            if is_ours(name_of(pair)) {
                any_ours = true;
                continue;
            }
            let pair = pair.trim_ascii();
            if kept.is_empty() {
                kept.reserve_exact(line.len());
            } else if !pair.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(pair);
        }
    }
    if lines <= 1 && !any_ours { Stripped::Unchanged } else { Stripped::Line(kept) }
}

/// The same, in a map.
pub fn strip(headers: &mut HeaderMap) {
    let Stripped::Line(line) = stripped(Fields::from(&*headers).values(&COOKIE)) else { return };
    let sensitive = headers.get_all(COOKIE).into_iter().any(HeaderValue::is_sensitive);
    let joined = if line.is_empty() { None } else { HeaderValue::try_from(line).ok() };
    match joined {
        Some(mut value) => {
            value.set_sensitive(sensitive);
            headers.insert(COOKIE, value);
        }
        None => _ = headers.remove(COOKIE),
    }
}

/// Whether a `Set-Cookie` of the app bears a name of ours.
pub fn is_impostor(line: &[u8]) -> bool {
    is_ours(name_of(split(line).next().unwrap_or_default()))
}

/// Drops every `Set-Cookie` of the app that bears a name of ours.
pub fn drop_impostors(headers: &mut HeaderMap) {
    let is_impostor = |line: &HeaderValue| is_impostor(line.as_bytes());
    if !headers.get_all(SET_COOKIE).into_iter().any(is_impostor) {
        return;
    }
    let kept: Vec<HeaderValue> =
        headers.get_all(SET_COOKIE).into_iter().filter(|line| !is_impostor(line)).cloned().collect();
    headers.remove(SET_COOKIE);
    for line in kept {
        headers.append(SET_COOKIE, line);
    }
}

/// How long the browser keeps a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Until it is closed.
    UntilClosed,
    /// For so many seconds.
    Seconds(u64),
    /// Not any longer: delete it. Name, path and flags repeat those that it was set with, or browsers keep it
    /// (CVE-2025-55162).
    Not,
}

/// With which requests that other sites cause a cookie travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Travel {
    /// With links and redirects: `SameSite=Lax`.
    Links,
    /// With posted forms as well: `SameSite=None`, which browsers take only with `Secure`. Browsers hold
    /// `http://localhost` for secure enough.
    Forms,
}

impl Travel {
    /// What the cookie of an attempt needs, so that it is there when the answer comes.
    pub fn of(secrets: &Secrets) -> Self {
        match secrets {
            Secrets::Oidc { .. } => Self::Links,
            Secrets::Saml { .. } => Self::Forms,
        }
    }
}

/// A `Set-Cookie` line of ours: `HttpOnly`, `SameSite=Lax`, `Path=/`, no `Domain`, and `Secure` by policy.
/// `None` when the value cannot be written as a header, which no value of ours does.
pub fn line(policy: Policy, name: &str, value: &str, keep: Keep) -> Option<HeaderValue> {
    travelling_line(policy, name, value, keep, Travel::Links)
}

/// The same, for a cookie that has to be there when another site posts a form to us. Its path is `/` all the
/// same: `__Host-` demands it, and keeps sibling hosts from planting an attempt of their own here.
pub fn travelling_line(policy: Policy, name: &str, value: &str, keep: Keep, travel: Travel) -> Option<HeaderValue> {
    let same_site = if travel == Travel::Forms { SameSite::None } else { SameSite::Lax };
    let mut cookie = Cookie::build((name, value)).path("/").http_only(true).same_site(same_site);
    if policy == Policy::Secure || travel == Travel::Forms {
        cookie = cookie.secure(true);
    }
    cookie = match keep {
        Keep::UntilClosed => cookie,
        Keep::Seconds(seconds) => cookie.max_age(Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX))),
        Keep::Not => cookie.max_age(Duration::ZERO),
    };
    let mut line = HeaderValue::from_str(&cookie.build().to_string()).ok()?;
    line.set_sensitive(true);
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    fn cookie_lines(headers: &HeaderMap) -> Vec<&str> {
        headers.get_all(COOKIE).into_iter().map(|line| line.to_str().unwrap()).collect()
    }

    const ID: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_line_is_split_as_the_standard_library_splits_it() {
        for line in ["", ";", "a", "a;", ";a", "a;;b", "a=1; b=2;c", ";;;"] {
            let expected: Vec<&[u8]> = line.as_bytes().split(|byte| *byte == b';').collect();
            assert_eq!(split(line.as_bytes()).collect::<Vec<_>>(), expected, "{line}");
        }
    }

    #[test]
    fn the_session_is_found_among_others() {
        let request = headers(&["a=b; __Host-portcullis=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA;c=d"]);
        assert_eq!(read_session((&request).into(), Policy::Secure).collect::<Vec<_>>(), [SessionKey::of(ID)]);
        assert_eq!(read_session((&request).into(), Policy::Relaxed).count(), 0);
    }

    #[test]
    fn odd_session_cookies_are_no_session() {
        for value in [
            "",
            "x",
            &"A".repeat(42),
            &"A".repeat(44),
            &"A".repeat(4000),
            &format!("{}=", "A".repeat(42)),
            "\"quoted\"",
        ] {
            let request = headers(&[&format!("portcullis={value}")]);
            assert_eq!(read_session((&request).into(), Policy::Relaxed).count(), 0, "{value}");
        }
        let many = vec![format!("portcullis={ID}"); 1000].join("; ");
        assert_eq!(read_session((&headers(&[&many])).into(), Policy::Relaxed).count(), MAX_CANDIDATES);
    }

    #[test]
    fn a_shadowing_cookie_does_not_hide_the_real_one() {
        let request = headers(&[&format!("portcullis=toss; portcullis={ID}")]);
        assert_eq!(read_session((&request).into(), Policy::Relaxed).collect::<Vec<_>>(), [SessionKey::of(ID)]);
    }

    // A browser takes a name behind any other white space for another name, which its prefix does not protect.
    #[test]
    fn only_spaces_and_tabs_are_left_out_around_a_name() {
        for blank in ["\u{2000}", "\u{a0}", "\u{85}", "\u{3000}", "\u{feff}"] {
            let line = format!("{blank}__Host-portcullis-attempt-1=x; __Host-portcullis-attempt-2{blank}=x");
            let mut request = HeaderMap::new();
            request.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            assert_eq!(read(&request, "__Host-portcullis-attempt-1").count(), 0, "{blank:?}");
            assert_eq!(read(&request, "__Host-portcullis-attempt-2").count(), 0, "{blank:?}");
            assert!(read_family(&request, "__Host-").all(|(name, _)| name.ends_with(blank)), "{blank:?}");
        }
        let request = headers(&["a=b; \t__Host-portcullis-attempt-1 \t=\t x "]);
        assert_eq!(read(&request, "__Host-portcullis-attempt-1").collect::<Vec<_>>(), ["x"]);
    }

    #[test]
    fn an_apps_cookie_that_is_no_text_does_not_hide_ours() {
        let mut line = b"theme=caf\xe9; portcullis=".to_vec();
        line.extend_from_slice(ID.as_bytes());
        let mut request = HeaderMap::new();
        request.append(COOKIE, HeaderValue::from_bytes(&line).unwrap());
        assert_eq!(read_session((&request).into(), Policy::Relaxed).collect::<Vec<_>>(), [SessionKey::of(ID)]);
        strip(&mut request);
        assert_eq!(request.get(COOKIE).unwrap().as_bytes(), b"theme=caf\xe9");
    }

    #[test]
    fn the_app_sees_its_own_cookies_alone() {
        let mut request =
            headers(&["theme=dark; __Host-portcullis=x; lang=en", "__HOST-Portcullis-attempt-1=y", "crumb=1"]);
        strip(&mut request);
        assert_eq!(cookie_lines(&request), ["theme=dark; lang=en; crumb=1"]);
        let mut ours_alone = headers(&["portcullis=x; =portcullis=y"]);
        strip(&mut ours_alone);
        assert!(ours_alone.is_empty());
        let mut theirs = headers(&["a=1;b=2"]);
        strip(&mut theirs);
        assert_eq!(cookie_lines(&theirs), ["a=1;b=2"]);
    }

    #[test]
    fn the_app_cannot_set_a_cookie_of_ours() {
        let mut response = HeaderMap::new();
        for line in [
            "theme=dark; Path=/",
            "__Host-portcullis=evil; Path=/; Secure",
            " portcullis = x",
            "lang=en",
            "__host-PORTCULLIS-bounce=1",
            "=portcullis=evil; Path=/",
            " = =__Host-portcullis=evil",
            "portcullis",
        ] {
            response.append(SET_COOKIE, HeaderValue::from_str(line).unwrap());
        }
        drop_impostors(&mut response);
        let kept: Vec<_> = response.get_all(SET_COOKIE).into_iter().collect();
        assert_eq!(kept, ["theme=dark; Path=/", "lang=en"]);
    }

    #[test]
    fn every_flag_is_there() {
        let set = line(Policy::Secure, "__Host-portcullis", "v", Keep::UntilClosed).unwrap();
        assert_eq!(set, "__Host-portcullis=v; HttpOnly; SameSite=Lax; Secure; Path=/");
        let abroad = travelling_line(Policy::Relaxed, "portcullis-attempt-1", "v", Keep::Seconds(9), Travel::Forms);
        assert_eq!(abroad.unwrap(), "portcullis-attempt-1=v; HttpOnly; SameSite=None; Secure; Path=/; Max-Age=9");
        let gone = line(Policy::Relaxed, "portcullis", "", Keep::Not).unwrap();
        assert_eq!(gone, "portcullis=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0");
    }

    proptest! {
        #[test]
        fn stripping_twice_is_stripping_once(lines in prop::collection::vec("[ -~]{0,60}", 0..4)) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let mut once = headers(&lines);
            strip(&mut once);
            prop_assert!(pairs(&once).all(|(name, _)| !is_ours(name.as_bytes())));
            let mut twice = once.clone();
            strip(&mut twice);
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn no_cookie_line_crashes_the_reader(line: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let mut request = HeaderMap::new();
                request.append(COOKIE, value);
                let _ = read_session((&request).into(), Policy::Secure).count();
                strip(&mut request);
            }
        }
    }
}
