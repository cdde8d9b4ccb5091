//! The proof that a host is ours, shown to plain HTTP (`http-01`, RFC 8555 section 8.3).
//!
//! The authority asks port 80 of the host for a path that ends with a token of its own, and is told the token and the
//! thumbprint of our account's key. Nothing of it is secret, but only what is being proved is told: to any other path,
//! and for any other host, nothing here has an answer. Shown by `order`, asked by `gateway::redirect`.

use super::board::{Board, Entry};

/// Where authorities ask.
const PREFIX: &str = "/.well-known/acme-challenge/";

/// What is to be told at the moment, by token.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens(Board<Answer>);

#[derive(Clone, Debug)]
pub(super) struct Answer {
    host: String,
    authorization: String,
}

impl Tokens {
    /// Tells whoever asks for `token` at `host` this authorization, until the entry is dropped.
    pub(super) fn tell(&self, host: &str, token: &str, authorization: &str) -> Entry<Answer> {
        self.0.put(token, &Answer { host: host.to_owned(), authorization: authorization.to_owned() })
    }

    /// What is told to whoever asks that host for that path.
    pub(super) fn answer(&self, host: &str, path: &str) -> Option<String> {
        let answer = self.0.get(path.strip_prefix(PREFIX)?)?;
        answer.host.eq_ignore_ascii_case(host).then_some(answer.authorization)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_answered_at_its_host_and_as_long_as_it_is_wanted() {
        let tokens = Tokens::default();
        let told = tokens.tell("a.example.com", "tOken-_1", "tOken-_1.print");
        let other = tokens.tell("b.example.com", "other", "other.print");
        let ask = |host: &str, path: &str| tokens.answer(host, path);
        let path = "/.well-known/acme-challenge/tOken-_1";
        assert_eq!(ask("a.example.com", path).as_deref(), Some("tOken-_1.print"));
        assert_eq!(ask("A.Example.com", path).as_deref(), Some("tOken-_1.print"));
        assert_eq!(ask("b.example.com", path), None);
        for odd in [
            "/.well-known/acme-challenge/",
            "/.well-known/acme-challenge/token-_1",
            "/.well-known/acme-challenge/tOken-_1/",
            "/.well-known/acme-challenge/other",
            "/.well-known/acme-challenge/%74Oken-_1",
            "/tOken-_1",
            "",
        ] {
            assert_eq!(ask("a.example.com", odd), None, "{odd}");
        }
        drop(told);
        assert_eq!(ask("a.example.com", path), None);
        assert!(ask("b.example.com", "/.well-known/acme-challenge/other").is_some());
        drop(other);
        assert!(tokens.0.is_empty());
    }
}
