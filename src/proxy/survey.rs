//! One look at the names in a request's head: which kinds of fields it has.
//!
//! Nearly all heads have nothing that must go, and to ask the map for every name that could be there costs more than
//! all the rest of a request. So the names are walked once; what a head does not have need not be looked for, and
//! what it has is dealt with as ever. Read anew for each request and never kept. Called by `gateway`.

use super::absolute::DESTINATION;
use super::headers::concerns_a_hop;
use super::inject::Managed;
use super::rumours::{self, speaks_of_the_client};
use crate::http::fields::Fields;
use crate::http::names::is_same;

/// A kind of field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Field {
    /// `Content-Length`, `Transfer-Encoding`.
    Framing = 1,
    /// What concerns one connection alone, `Upgrade` and `Keep-Alive` among it, but for `Connection`.
    Hop = 2,
    /// `Expect`.
    Expect = 4,
    /// By which proxies speak of the client.
    Forwarding = 8,
    /// Names that we alone may send.
    Managed = 16,
    /// `Cookie`.
    Cookie = 32,
    /// `Connection`.
    Connection = 64,
    /// `Destination`.
    Destination = 128,
    /// `Authorization`.
    Authorization = 256,
}

/// The kinds that a head has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey(u16);

impl Survey {
    /// Walks the names of a head.
    pub fn of(fields: Fields<'_>, managed: &Managed) -> Self {
        let mut survey = Self::default();
        for field in fields {
            // Most names fail by their first letter, or by their length. What fails here stays in the head: whatever
            // `concerns_a_hop` and `speaks_of_the_client` come to know has to get past.
            let (length, first) = field.outline();
            match (first, length) {
                (b'a', 13)
                | (b'c', 6 | 10 | 14)
                | (b'd', 11)
                | (b'e', 6)
                | (b't', 2 | 17)
                | (b'u', 7)
                | (b'k', 10)
                | (b'p', 16 | 18 | 19) => {
                    survey.note_standard(field.name(), length);
                }
                _ => {}
            }
            if rumours::may_look_like(length, first) && speaks_of_the_client(field.name()) {
                survey.note(Field::Forwarding);
            }
            if managed.may_begin_with(first) && managed.contains(field.name()) {
                survey.note(Field::Managed);
            }
        }
        survey
    }

    /// Whether the head has fields of that kind.
    pub fn has(self, kind: Field) -> bool {
        self.0 & kind as u16 != 0
    }

    fn note_standard(&mut self, name: &[u8], length: usize) {
        let is = |ours: &str| is_same(name, ours.as_bytes());
        match length {
            6 if is("cookie") => return self.note(Field::Cookie),
            6 if is("expect") => self.note(Field::Expect),
            11 if is(DESTINATION.as_str()) => return self.note(Field::Destination),
            10 if is("connection") => return self.note(Field::Connection),
            13 if is("authorization") => return self.note(Field::Authorization),
            14 if is("content-length") => return self.note(Field::Framing),
            17 if is("transfer-encoding") => self.note(Field::Framing),
            _ => {}
        }
        if concerns_a_hop(name) {
            self.note(Field::Hop);
        }
    }

    fn note(&mut self, kind: Field) {
        self.0 |= kind as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::super::inject::{Injector, Settings};
    use super::*;
    use hyper::HeaderMap;
    use hyper::header::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    fn survey(names: &[&str]) -> Survey {
        let custom = vec![(HeaderName::from_static("_department"), super::super::inject::Source::Name)];
        let injector = Injector::new(&Settings { presets: Vec::new(), custom });
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("x"));
        }
        Survey::of((&headers).into(), injector.managed())
    }

    #[test]
    fn each_kind_is_seen_among_others() {
        for (name, kinds) in [
            ("Content-Length", &[Field::Framing][..]),
            ("Transfer-Encoding", &[Field::Framing, Field::Hop]),
            ("Connection", &[Field::Connection]),
            ("Upgrade", &[Field::Hop]),
            ("TE", &[Field::Hop]),
            ("Keep-Alive", &[Field::Hop]),
            ("Content_Length", &[Field::Hop]),
            ("Transfer_Encoding", &[Field::Hop]),
            ("Proxy-Authenticate", &[Field::Hop]),
            ("Proxy-Authorization", &[Field::Hop]),
            ("Proxy-Connection", &[Field::Hop]),
            ("Expect", &[Field::Expect, Field::Hop]),
            ("X_Forwarded-For", &[Field::Forwarding]),
            ("Forwarded", &[Field::Forwarding]),
            ("True.Client.IP", &[Field::Forwarding]),
            ("SCRIPT_NAME", &[Field::Forwarding]),
            ("X-Script-Name", &[Field::Forwarding]),
            ("Path.Info", &[Field::Forwarding]),
            ("daphne-root-path", &[Field::Forwarding]),
            ("X_Forwarded_User", &[Field::Forwarding, Field::Managed]),
            ("Remote_Groups", &[Field::Managed]),
            ("X-Salesforce-Anything", &[Field::Managed]),
            ("~department", &[Field::Managed]),
            ("Cookie", &[Field::Cookie]),
            ("Destination", &[Field::Destination]),
            ("Accept-Language", &[]),
            ("Authorization", &[Field::Authorization]),
        ] {
            let seen = survey(&["Host", "Accept", name, "User-Agent", "X-Request-Id", "Sec-Fetch-Mode"]);
            let expected = kinds.iter().fold(0, |all, kind| all | *kind as u16);
            assert_eq!(seen, Survey(expected), "{name}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_said_to_be_missing_that_is_there(names in prop::collection::vec("[xX][-_.][a-z-_]{1,20}|[a-zA-Z_-]{1,12}", 0..12)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let whole = survey(&names);
            for name in names {
                let alone = survey(&[name]);
                prop_assert_eq!(whole.0 & alone.0, alone.0);
            }
        }
    }
}
