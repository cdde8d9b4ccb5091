//! A public origin: scheme and authority, as people type it.
//!
//! `public_url` is configured and never guessed from headers, so every absolute address that we print (the
//! callback above all) begins with one of these. Called by `config`, `gateway` and `login`.

use std::fmt;

use super::Scheme;

/// Scheme and authority without a trailing slash: `https://wiki.example.com`, `http://localhost:8080`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    text: String,
    scheme: Scheme,
}

/// Why a text is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigin {
    /// Not a URL at all.
    #[error("is not an address such as https://wiki.example.com")]
    Unreadable,
    /// Neither http nor https.
    #[error("must begin with https:// (or http:// for localhost)")]
    Scheme,
    /// A path, query, fragment or credentials follow.
    #[error("must end after the host and port: no path, query or user name")]
    MoreThanOrigin,
}

impl Origin {
    /// Reads `text`; lower-cases the host, encodes an international name and drops the scheme's default port.
    ///
    /// # Errors
    /// [`BadOrigin`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadOrigin> {
        let url = url::Url::parse(text).map_err(|_| BadOrigin::Unreadable)?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return Err(BadOrigin::Scheme),
        };
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !bare {
            return Err(BadOrigin::MoreThanOrigin);
        }
        Ok(Self { text: url.origin().ascii_serialization(), scheme })
    }

    /// The whole origin.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port (no default port), lower case: what a `Host` header must say.
    pub fn authority(&self) -> &str {
        self.text.get(self.scheme.as_str().len() + "://".len()..).unwrap_or_default()
    }

    /// The host alone, a name or an address without brackets: what a certificate is made for.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => authority,
        };
        host.trim_matches(['[', ']'])
    }

    /// How browsers reach it.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether it names this very machine: `localhost`, `*.localhost`, 127.0.0.0/8 or `::1`.
    pub fn is_loopback(&self) -> bool {
        url::Url::parse(&self.text).is_ok_and(|url| is_loopback(&url))
    }
}

/// Whether a URL's host is this very machine.
pub fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_one_way() {
        assert_eq!(Origin::parse("HTTPS://Wiki.Example.COM:443/").unwrap().as_str(), "https://wiki.example.com");
        assert_eq!(Origin::parse("http://localhost:8080").unwrap().authority(), "localhost:8080");
    }

    #[test]
    fn a_host_has_neither_port_nor_brackets() {
        for (origin, host) in [
            ("https://wiki.example.com", "wiki.example.com"),
            ("https://wiki.example.com:8443", "wiki.example.com"),
            ("https://[2001:db8::1]", "2001:db8::1"),
            ("https://[2001:db8::1]:8443", "2001:db8::1"),
            ("http://127.0.0.1:80", "127.0.0.1"),
        ] {
            assert_eq!(Origin::parse(origin).unwrap().host(), host);
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        assert_eq!(Origin::parse("wiki.example.com"), Err(BadOrigin::Unreadable));
        assert_eq!(Origin::parse("ftp://wiki.example.com"), Err(BadOrigin::Scheme));
        assert_eq!(Origin::parse("https://a@wiki.example.com"), Err(BadOrigin::MoreThanOrigin));
        assert_eq!(Origin::parse("https://wiki.example.com/wiki"), Err(BadOrigin::MoreThanOrigin));
    }
}
