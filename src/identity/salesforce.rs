//! What Salesforce does its own way: record ids, identity addresses, login hosts, the names of claims.
//!
//! A record id has a case-sensitive form of 15 characters and one of 18, whose last three spell the case of
//! the first 15. Both occur in the protocol; we keep and compare only the 18, with the suffix verified, so
//! that a case-folded id names nobody. Called by `identity::oidc`, `identity::jwt`, `config` and `policy`.

use std::fmt;

use serde_json::{Map, Value};

use super::Identity;

/// The characters that spell the case of five others: the number of each is five bits.
const SUFFIX: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// The three characters that spell where capitals are in an id of 15.
fn suffix_of(id: &[u8; 15]) -> [u8; 3] {
    let mut suffix = [0; 3];
    for (character, five) in suffix.iter_mut().zip(id.chunks_exact(5)) {
        let bits = five.iter().rev().fold(0_usize, |bits, byte| bits << 1 | usize::from(byte.is_ascii_uppercase()));
        *character = SUFFIX[bits];
    }
    suffix
}

/// Why a text is no id of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// Neither 15 nor 18 characters.
    #[error("must have 15 or 18 characters")]
    Length,
    /// Something else than ASCII letters and digits.
    #[error("must hold only letters and digits")]
    Characters,
    /// The id of another kind of record.
    #[error("must begin with {0}")]
    Prefix(&'static str),
    /// The last three of 18 characters do not fit the first 15: a typing mistake, or the case was lost.
    #[error("has a wrong check suffix (the last 3 of the 18 characters): was its case changed?")]
    Suffix,
}

fn read_id(text: &str, prefix: &'static str) -> Result<[u8; 18], BadId> {
    let bytes = text.as_bytes();
    let Some((first, rest)) = bytes.split_first_chunk::<15>() else { return Err(BadId::Length) };
    if !matches!(rest.len(), 0 | 3) {
        return Err(BadId::Length);
    }
    if !bytes.iter().all(u8::is_ascii_alphanumeric) {
        return Err(BadId::Characters);
    }
    if !text.starts_with(prefix) {
        return Err(BadId::Prefix(prefix));
    }
    let suffix = suffix_of(first);
    if rest.len() == 3 && rest != suffix {
        return Err(BadId::Suffix);
    }
    let mut whole = [0; 18];
    whole[..15].copy_from_slice(first);
    whole[15..].copy_from_slice(&suffix);
    Ok(whole)
}

macro_rules! record_id {
    ($(#[$documentation:meta])* $name:ident, $prefix:literal) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 18]);

        impl $name {
            /// Reads an id of 15 characters, or one of 18 with the right check suffix.
            ///
            /// # Errors
            /// [`BadId`] says what is wrong with it.
            pub fn parse(text: &str) -> Result<Self, BadId> {
                read_id(text, $prefix).map(Self)
            }

            /// All 18 characters.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

record_id! {
    /// An organization's id: `00D...`, 18 characters.
    OrgId, "00D"
}

record_id! {
    /// A user's id: `005...`, 18 characters. Unique only together with the organization: sandboxes copied
    /// from one production org repeat it.
    UserId, "005"
}

/// Whether a host serves the sign-in of more orgs than one, so that its word alone says nothing about *which*
/// company somebody belongs to.
///
/// Those are the login hosts and the instances: every name directly under `salesforce.com`. A My Domain has
/// more labels (`acme.my.salesforce.com`).
pub fn is_shared_login_host(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    [".salesforce.com", ".sfcrmproducts.cn", ".force.com"]
        .iter()
        .any(|domain| host == domain[1..] || host.strip_suffix(domain).is_some_and(|label| !label.contains('.')))
}

/// Reads an identity address such as `https://login.salesforce.com/id/00D.../005...`, which Salesforce puts
/// into `sub`.
///
/// The host says nothing (login host, sandbox, My Domain: salesforce.md 2.5), so any is taken; plain text only
/// for this very machine. Everything else is strict: nothing before `/id/`, nothing after the user, and the
/// text must already be in the one form that a URL parser would write.
pub fn read_subject(sub: &str) -> Option<(OrgId, UserId)> {
    let url = url::Url::parse(sub).ok()?;
    let trusted = match url.scheme() {
        "https" => true,
        "http" => crate::http::origin::is_loopback(&url),
        _ => false,
    };
    if !trusted || url.as_str() != sub || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    if url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    let (organization, user) = url.path().strip_prefix("/id/")?.split_once('/')?;
    Some((OrgId::parse(organization).ok()?, UserId::parse(user).ok()?))
}

/// Makes an identity of everything that was said about a user whose key is already verified.
///
/// Userinfo and the identity address name the same things differently (`preferred_username` and `username`,
/// `name` and `display_name`: salesforce.md 2.10), and both send `null` for what is not set. A user without
/// any username is known by the user id.
pub fn read_identity(organization: OrgId, user: UserId, claims: Map<String, Value>) -> Identity {
    let text = |names: &[&str]| {
        let found = names.iter().find_map(|name| claims.get(*name)?.as_str().filter(|value| !value.is_empty()));
        found.map(str::to_owned)
    };
    Identity {
        organization,
        user,
        username: text(&["preferred_username", "username"]).unwrap_or_else(|| user.to_string()),
        email: text(&["email"]),
        name: text(&["name", "display_name"]),
        user_type: text(&["user_type"]),
        active: claims.get("active").and_then(Value::as_bool),
        claims,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ORG: &str = "00D5g00000ABCDEEA5";
    const USER: &str = "0055g00000AbCdEAAV";

    #[test]
    fn the_suffix_of_a_known_id_is_computed() {
        // The pair printed in Salesforce's own documentation of the two forms of an id.
        let known = read_id("001A0000006Vm9r", "001").unwrap();
        assert_eq!(&known, b"001A0000006Vm9rIAC");
    }

    #[test]
    fn fifteen_and_eighteen_characters_are_the_same_id() {
        let short = OrgId::parse(&ORG[..15]).unwrap();
        assert_eq!(short, OrgId::parse(short.as_str()).unwrap());
        assert_eq!(short.as_str().len(), 18);
    }

    #[test]
    fn an_id_is_refused_for_its_reason() {
        assert_eq!(OrgId::parse(""), Err(BadId::Length));
        assert_eq!(OrgId::parse("00D5g00000ABCDEE"), Err(BadId::Length));
        assert_eq!(OrgId::parse("00D5g00000ABCDEEA5X"), Err(BadId::Length));
        assert_eq!(OrgId::parse("00D5g00000ABC/E"), Err(BadId::Characters));
        assert_eq!(OrgId::parse("00D5g00000ABC\u{e9}"), Err(BadId::Characters));
        assert_eq!(OrgId::parse("0055g00000ABCDE"), Err(BadId::Prefix("00D")));
        assert_eq!(UserId::parse("00D5g00000ABCDE"), Err(BadId::Prefix("005")));
        assert_eq!(OrgId::parse("00D5g00000ABCDEAAA"), Err(BadId::Suffix));
    }

    #[test]
    fn a_case_folded_id_names_nobody() {
        let id = UserId::parse(&USER[..15]).unwrap();
        assert_eq!(UserId::parse(&id.as_str().to_ascii_uppercase()), Err(BadId::Suffix));
        assert_eq!(UserId::parse(&id.as_str().to_ascii_lowercase()), Err(BadId::Suffix));
    }

    #[test]
    fn shared_hosts_are_told_from_an_orgs_own() {
        for host in [
            "login.salesforce.com",
            "LOGIN.salesforce.com.",
            "test.salesforce.com",
            "welcome.salesforce.com",
            "na1.salesforce.com",
            "login.sfcrmproducts.cn",
            "salesforce.com",
        ] {
            assert!(is_shared_login_host(host), "{host}");
        }
        for host in [
            "acme.my.salesforce.com",
            "acme--dev.sandbox.my.salesforce.com",
            "acme.my.site.com",
            "login.example.com",
            "login.salesforce.com.example.com",
            "loginsalesforce.com",
            "localhost",
        ] {
            assert!(!is_shared_login_host(host), "{host}");
        }
    }

    fn pair() -> (OrgId, UserId) {
        (OrgId::parse(&ORG[..15]).unwrap(), UserId::parse(&USER[..15]).unwrap())
    }

    #[test]
    fn a_subject_is_read_whatever_its_host() {
        let (org, user) = pair();
        for base in ["https://login.salesforce.com", "https://test.salesforce.com", "http://127.0.0.1:8443"] {
            assert_eq!(read_subject(&format!("{base}/id/{org}/{user}")), Some((org, user)));
        }
    }

    #[test]
    fn a_subject_with_anything_else_is_nobody() {
        let (org, user) = pair();
        for sub in [
            format!("http://login.salesforce.com/id/{org}/{user}"),
            format!("https://login.salesforce.com/id/{org}/{user}/"),
            format!("https://login.salesforce.com/id/{org}/{user}?x"),
            format!("https://login.salesforce.com/id/{org}/{user}#x"),
            format!("https://login.salesforce.com/id/{user}/{org}"),
            format!("https://login.salesforce.com/x/../id/{org}/{user}"),
            format!("https://login.salesforce.com/x/id/{org}/{user}"),
            format!("https://login.salesforce.com//id/{org}/{user}"),
            format!("https://login.salesforce.com/id/{org}//{user}"),
            format!("https://login.salesforce.com\\id\\{org}\\{user}"),
            format!("https://a@login.salesforce.com/id/{org}/{user}"),
            format!(" https://login.salesforce.com/id/{org}/{user}"),
            format!("https://login.salesforce.com/id/{org}"),
            format!("uid:{user}"),
            user.to_string(),
            String::new(),
        ] {
            assert_eq!(read_subject(&sub), None, "{sub}");
        }
    }

    #[test]
    fn nulls_and_other_names_are_understood() {
        let (org, user) = pair();
        let claims = json!({"username": "ada@acme.example", "display_name": "Ada", "email": null, "active": true,
            "phone_number": null, "user_type": "STANDARD", "custom_attributes": {"team": "blue"}});
        let Value::Object(claims) = claims else { panic!("an object") };
        let identity = read_identity(org, user, claims);
        assert_eq!(identity.username, "ada@acme.example");
        assert_eq!(identity.name.as_deref(), Some("Ada"));
        assert_eq!(identity.email, None);
        assert_eq!(identity.active, Some(true));
        assert_eq!(identity.user_type.as_deref(), Some("STANDARD"));
        assert_eq!(identity.claims["custom_attributes"]["team"], "blue");
        assert_eq!(read_identity(org, user, Map::new()).username, user.to_string());
    }

    proptest! {
        #[test]
        fn every_id_survives_the_way_over_eighteen(rest in "[0-9A-Za-z]{12}") {
            let short = format!("00D{rest}");
            let id = OrgId::parse(&short).unwrap();
            prop_assert_eq!(&id.as_str()[..15], &short);
            prop_assert_eq!(OrgId::parse(id.as_str()), Ok(id));
        }

        #[test]
        fn ids_that_differ_only_in_case_differ_in_eighteen(rest in "[0-9A-Za-z]{12}") {
            let id = UserId::parse(&format!("005{rest}")).unwrap();
            let folded = UserId::parse(&format!("005{}", rest.to_ascii_lowercase())).unwrap();
            let same_text = id.as_str().eq_ignore_ascii_case(folded.as_str());
            prop_assert_eq!(same_text, id == folded);
        }

        #[test]
        fn reading_a_subject_never_panics_and_never_guesses(sub in "\\PC*") {
            prop_assert_eq!(read_subject(&sub), None);
        }

        #[test]
        fn one_changed_character_is_another_person_or_nobody(at in 0_usize..37, with in "[0-9A-Za-z/?#.]") {
            let (org, user) = pair();
            let path = format!("{org}/{user}");
            let mut changed = path.clone();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != path);
            let read = read_subject(&format!("https://login.salesforce.com/id/{changed}"));
            prop_assert_ne!(read, Some((org, user)));
        }
    }
}
