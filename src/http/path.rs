//! A path on this very host, for going back to after sign-in.
//!
//! The open redirectors of this field (CVE-2019-20479, CVE-2021-32786, CVE-2022-23527 and hundreds of payload
//! spellings) all began as a string that looked local. `LocalPath` is the only type that a redirect after
//! sign-in or sign-out takes, and it refuses everything that a browser could read as another host.

use std::fmt;

/// The longest path kept, in bytes; a longer one falls back to `/`.
pub const MAX_LENGTH: usize = 2048;

/// A path and query that resolve to this origin, whichever browser reads them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct LocalPath(String);

impl LocalPath {
    /// The root.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Accepts `text` when it begins with exactly one `/`, holds only visible ASCII without `\`, and is at
    /// most [`MAX_LENGTH`] long. Browsers drop tab and newline and read `\` as `/`, hence the refusals.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let local = bytes.first() == Some(&b'/')
            && bytes.get(1) != Some(&b'/')
            && bytes.len() <= MAX_LENGTH
            && bytes.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\');
        local.then(|| Self(text.to_owned()))
    }

    /// The path as it goes into a `Location`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> serde::Deserialize<'de> for LocalPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a local path"))
    }
}

impl fmt::Display for LocalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn foreign_spellings_are_refused() {
        let foreign = [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "http:evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/ /evil.example",
            "/\u{2028}/evil",
            "/\0",
            "/a\r\nSet-Cookie: x=y",
            "/ä",
        ];
        for text in foreign {
            assert_eq!(LocalPath::parse(text), None, "{text:?}");
        }
        assert_eq!(LocalPath::parse(&format!("/{}", "a".repeat(MAX_LENGTH))), None);
    }

    #[test]
    fn deep_links_keep_their_query() {
        assert_eq!(LocalPath::parse("/d/abc?from=now-6h&to=now").unwrap().as_str(), "/d/abc?from=now-6h&to=now");
    }

    proptest! {
        #[test]
        fn whatever_parses_resolves_to_this_origin(text in "[/\\\\:@?#.a-z\t\n %0-9]{0,40}") {
            if let Some(path) = LocalPath::parse(&text) {
                let base = url::Url::parse("https://app.example/deep/page?x=1").unwrap();
                let resolved = base.join(path.as_str()).unwrap();
                prop_assert_eq!(resolved.origin(), base.origin());
            }
        }
    }
}
