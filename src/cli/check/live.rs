//! `portcullis check --live`: the questions that only the network and the clock can answer.
//!
//! Nothing here signs in; it asks what the first sign-in would need. Called by `cli::check`.

use std::fmt;
use std::time::Duration;

use super::saml;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::identity;
use crate::identity::oidc::{Inspection, Provider, Settings};
use crate::proxy::upstream::{self, Connector, Limit};
use crate::route::Address;

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As it should be.
    Good,
    /// It works, but somebody should look at it.
    Warning,
    /// Sign-ins or requests would fail.
    Failed,
}

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.outcome {
            Outcome::Good => "ok",
            Outcome::Warning => "warn",
            Outcome::Failed => "FAIL",
        };
        write!(f, "{word:<5} {}", self.text)
    }
}

impl Finding {
    /// The same, with the name of the provider that it is of.
    fn of(self, name: &identity::ProviderName) -> Self {
        let named = self.text.starts_with(&format!("provider {name}:"));
        Self { text: if named { self.text } else { format!("provider {name}: {}", self.text) }, ..self }
    }
}

pub(super) fn good(text: impl Into<String>) -> Finding {
    Finding { outcome: Outcome::Good, text: text.into() }
}

pub(super) fn warning(text: impl Into<String>) -> Finding {
    Finding { outcome: Outcome::Warning, text: text.into() }
}

pub(super) fn failed(text: impl Into<String>) -> Finding {
    Finding { outcome: Outcome::Failed, text: text.into() }
}

/// Asks everything, one after the other.
pub(super) async fn ask(config: &Config, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in &config.providers {
        let of_it = match &entry.settings {
            identity::Settings::Oidc(settings) => provider(settings, now).await,
            identity::Settings::Saml(setup) => saml::ask(setup, now).await,
        };
        let several = config.providers.len() > 1;
        let whose = |finding: Finding| if several { finding.of(entry.settings.name()) } else { finding };
        findings.extend(of_it.into_iter().map(whose));
    }
    for (route, settings) in config.routes.iter().zip(&config.proxy.apps) {
        let (connector, patience) = (settings.connector.as_ref(), &settings.upstream.connect_timeout);
        for address in &settings.addresses {
            findings.push(app(&route.name, address, connector, patience).await);
        }
    }
    findings
}

async fn provider(settings: &Settings, now: Timestamp) -> Vec<Finding> {
    let provider = match Provider::new(settings.clone()) {
        Ok(provider) => provider,
        Err(problem) => return vec![failed(format!("provider {}: {problem}", settings.name))],
    };
    match provider.inspect(now).await {
        Ok(inspection) => judge(&inspection, settings),
        Err(fault) => vec![failed(format!("provider {}: {fault}", settings.name))],
    }
}

fn judge(inspection: &Inspection, settings: &Settings) -> Vec<Finding> {
    let org = settings.org.as_str().trim_end_matches('/');
    let mut findings = Vec::new();
    if inspection.issuer.trim_end_matches('/') == org {
        findings.push(good(format!("provider {}: it calls itself {}", settings.name, inspection.issuer)));
    } else {
        findings
            .push(failed(format!("provider {}: it calls itself {}, org is {org}", settings.name, inspection.issuer)));
    }
    let ignored: Vec<String> = inspection.ignored_keys.iter().map(|(id, reason)| format!("{id} ({reason})")).collect();
    let ignored =
        if ignored.is_empty() { String::new() } else { format!("; not for ID tokens: {}", ignored.join(", ")) };
    if inspection.usable_keys.is_empty() {
        findings.push(failed(format!("keys: {} publishes none for ID tokens{ignored}", inspection.jwks_uri)));
    } else {
        findings.push(good(format!("keys: {} for ID tokens{ignored}", inspection.usable_keys.join(", "))));
    }
    findings.push(clock(inspection.clock_ahead, settings.clock_skew));
    findings
}

fn clock(ahead: Option<i64>, allowed: Duration) -> Finding {
    let Some(ahead) = ahead else { return warning("clock: the provider did not say what time it is") };
    let side = if ahead < 0 { "behind" } else { "ahead of" };
    let apart = ahead.unsigned_abs();
    let text = format!("clock: the provider's is {apart} s {side} this machine's");
    if apart > allowed.as_secs() {
        failed(format!("{text}, more than clock_skew allows: set this machine's clock (NTP)"))
    } else if apart.saturating_mul(2) > allowed.as_secs().max(10) {
        warning(format!("{text}: set this machine's clock (NTP)"))
    } else {
        good(text)
    }
}

async fn app(name: &str, address: &Address, connector: Option<&Connector>, patience: &Limit<Duration>) -> Finding {
    match upstream::reach(address, connector, patience).await {
        Ok(()) => good(format!("app {name}: {address} accepts connections")),
        Err(fault) => failed(format!("app {name}: {fault}")),
    }
}

pub(super) fn date(moment: Timestamp) -> String {
    let moment =
        i64::try_from(moment.0).ok().and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.map_or_else(|| "a date beyond the calendar".to_owned(), |moment| moment.date().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::read;
    use crate::route::{Place, Transport};

    /// 2026-01-01.
    const NOW: Timestamp = Timestamp(1_767_225_600);

    fn config(more: &str) -> Config {
        let text = format!(
            "public_url = \"https://wiki.example.com\"\n[provider.sf]\norg = \"http://127.0.0.1:1\"\n\
             client_id = \"x\"\n[[route]]\nname = \"wiki\"\nupstream = \"http://127.0.0.1:1\"\n{more}"
        );
        read(&text, "gateway.toml", &[]).unwrap()
    }

    fn settings() -> Settings {
        match config("").providers.remove(0).settings {
            identity::Settings::Oidc(settings) => *settings,
            identity::Settings::Saml(_) => panic!("another protocol"),
        }
    }

    fn inspection() -> Inspection {
        Inspection {
            issuer: "http://127.0.0.1:1".to_owned(),
            authorization_endpoint: String::new(),
            token_endpoint: String::new(),
            userinfo_endpoint: String::new(),
            jwks_uri: "http://127.0.0.1:1/id/keys".to_owned(),
            usable_keys: vec!["262".to_owned()],
            ignored_keys: vec![("CORE_ATJWT".to_owned(), "for access tokens")],
            clock_ahead: Some(2),
        }
    }

    fn outcomes(findings: &[Finding]) -> Vec<Outcome> {
        findings.iter().map(|finding| finding.outcome).collect()
    }

    #[test]
    fn a_sound_provider_is_good_in_every_line() {
        let findings = judge(&inspection(), &settings());
        assert_eq!(outcomes(&findings), [Outcome::Good; 3], "{findings:?}");
        assert_eq!(
            findings[1].to_string(),
            "ok    keys: 262 for ID tokens; not for ID tokens: CORE_ATJWT (for access tokens)"
        );
    }

    #[test]
    fn another_issuer_no_keys_and_a_wrong_clock_fail() {
        let wrong = Inspection {
            issuer: "https://login.salesforce.com".to_owned(),
            usable_keys: Vec::new(),
            clock_ahead: Some(-300),
            ..inspection()
        };
        let findings = judge(&wrong, &settings());
        assert_eq!(outcomes(&findings), [Outcome::Failed; 3], "{findings:?}");
        assert!(findings[2].text.contains("300 s behind"), "{findings:?}");
        assert_eq!(clock(None, Duration::from_secs(60)).outcome, Outcome::Warning);
        assert_eq!(clock(Some(45), Duration::from_secs(60)).outcome, Outcome::Warning);
    }

    #[tokio::test]
    async fn an_org_and_an_app_that_are_not_there_fail() {
        let findings = ask(&config(""), NOW).await;
        assert_eq!(outcomes(&findings), [Outcome::Failed; 2], "{findings:?}");
        assert!(findings[1].text.starts_with("app wiki: cannot connect to http://127.0.0.1:1: "), "{findings:?}");
    }

    #[tokio::test]
    async fn an_app_that_listens_is_reached() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place::Tcp { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port() };
        let address = Address { transport: Transport::Http, place };
        let patience = Limit::new(Duration::from_secs(5), "wiki", "connect_timeout", upstream::Source::Common);
        assert_eq!(app("wiki", &address, None, &patience).await.outcome, Outcome::Good);
    }
}
