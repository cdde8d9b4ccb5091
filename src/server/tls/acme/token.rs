//! The proof that a host is ours, shown to plain HTTP (`http-01`, RFC 8555 section 8.3).
//!
//! The authority asks port 80 of the host for a path that ends with a token of its own, and is told the token and the
//! thumbprint of our account's key. Nothing of it is secret, but only what is being proved is told: to any other path,
//! and for any other host, nothing here has an answer. Shown by `order`, asked by `gateway::redirect`.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// Where authorities ask.
const PREFIX: &str = "/.well-known/acme-challenge/";

/// What is to be told at the moment, by token.
#[derive(Clone, Debug, Default)]
pub(super) struct Tokens(Arc<ArcSwap<HashMap<String, Answer>>>);

#[derive(Clone, Debug)]
struct Answer {
    host: String,
    authorization: String,
}

/// Tells an answer until it is dropped.
pub(super) struct Told {
    tokens: Tokens,
    token: String,
}

impl Tokens {
    /// Tells whoever asks for `token` at `host` this authorization.
    pub(super) fn tell(&self, host: &str, token: &str, authorization: &str) -> Told {
        let answer = Answer { host: host.to_owned(), authorization: authorization.to_owned() };
        self.0.rcu(|answers| {
            let mut answers = HashMap::clone(answers);
            answers.insert(token.to_owned(), answer.clone());
            answers
        });
        Told { tokens: self.clone(), token: token.to_owned() }
    }

    /// What is told to whoever asks that host for that path.
    pub(super) fn answer(&self, host: &str, path: &str) -> Option<String> {
        let token = path.strip_prefix(PREFIX)?;
        let answers = self.0.load();
        let answer = answers.get(token).filter(|answer| answer.host.eq_ignore_ascii_case(host))?;
        Some(answer.authorization.clone())
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.tokens.0.rcu(|answers| {
            let mut answers = HashMap::clone(answers);
            answers.remove(&self.token);
            answers
        });
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
        assert!(tokens.0.load().is_empty());
    }
}
