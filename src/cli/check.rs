//! `portcullis check`: is the configuration good, and what has to be entered in Salesforce?
//!
//! The callback addresses are printed exactly as the gateway will send them, because Salesforce compares them
//! byte by byte (`redirect_uri_mismatch`). Called by `cli`.

mod certificate;
mod live;
mod saml;

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use super::{FAILED, complain, refuse, runtime, say};
use crate::clock::Timestamp;
use crate::config::{Config, file};
use crate::identity::oidc::{self, ClientAuthentication, UserTypes};
use crate::identity::{Entry, Settings};
use crate::route::Access;

/// How far a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The file, the environment and the files that they name.
    FileOnly,
    /// The org, the apps and the clock too.
    Live,
}

/// Checks the file at `path`.
pub(super) fn run(path: &Path, reach: Reach) -> ExitCode {
    let config = match file::load(path) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems),
    };
    say(format_args!("{}: the configuration is good\n", path.display()));
    say(summary(&config));
    config.providers.iter().for_each(|provider| say(for_salesforce(provider, &config)));
    let now = Timestamp::now();
    let tls = config.server.tls.iter();
    let mut findings: Vec<_> = tls.flat_map(|tls| certificate::judge(tls, &config.origins, now)).collect();
    if reach == Reach::Live {
        match runtime() {
            Ok(runtime) => findings.extend(runtime.block_on(live::ask(&config, now))),
            Err(error) => {
                complain(format_args!("the system gives no runtime: {error}"));
                return ExitCode::from(FAILED);
            }
        }
    }
    findings.iter().for_each(say);
    let failed = findings.iter().filter(|finding| finding.outcome == live::Outcome::Failed).count();
    if failed == 0 {
        return ExitCode::SUCCESS;
    }
    complain(format_args!("\n{failed} of {} checks failed", findings.len()));
    ExitCode::from(FAILED)
}

/// What the gateway will do, in a screen.
fn summary(config: &Config) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "  {name:<14} {value}");
    };
    let tls = if config.server.tls.is_some() { "TLS" } else { "plain text" };
    let places: Vec<String> = config.server.listen.list.iter().map(ToString::to_string).collect();
    line("front door", &format_args!("{} ({tls}), {} threads", places.join(", "), config.server.workers));
    match config.operator {
        Some(operator) => line("operator", &operator),
        None => line("operator", &"off"),
    }
    for provider in &config.providers {
        let place = match &provider.settings {
            Settings::Oidc(settings) => settings.org.as_str().trim_end_matches('/').to_owned(),
            Settings::Saml(setup) => saml::place(setup),
        };
        let title = if config.providers.len() > 1 { format!(", shown as {:?}", provider.title) } else { String::new() };
        line("provider", &format_args!("{} at {place}{title}", provider.settings.name()));
        line("who may", &who(&provider.settings));
    }
    let span = |span| humantime::format_duration(span);
    line("sessions", &format_args!("{}, {} when unused", span(config.session.lifetime), span(config.session.idle)));
    for (route, app) in config.routes.iter().zip(&config.proxy.apps) {
        let origin = config.origins.first().map_or("", |origin| origin.authority());
        let host = route.host.as_deref().unwrap_or(origin);
        let access = match route.access {
            Access::Public => "public",
            Access::SignedIn => "signed in",
        };
        let addresses: Vec<_> = app.addresses.iter().map(ToString::to_string).collect();
        line("route", &format_args!("{host}{} -> {} ({access})", route.path, addresses.join(", ")));
    }
    for note in &config.notes {
        line("note", note);
    }
    text
}

fn who(provider: &Settings) -> String {
    let orgs: Vec<&str> = provider.organizations().iter().map(|org| org.as_str()).collect();
    let orgs = if orgs.is_empty() { "of that org".to_owned() } else { format!("of {}", orgs.join(", ")) };
    match provider.user_types() {
        UserTypes::Only(types) => format!("users {orgs} of type {}", types.join(", ")),
        UserTypes::Any => format!("users {orgs}, partners and customers included"),
    }
}

/// What to enter in Salesforce for a provider, by the words of its pages.
fn for_salesforce(provider: &Entry, config: &Config) -> String {
    let whose = if config.providers.len() > 1 {
        format!("For {}, enter", provider.settings.name())
    } else {
        "Enter".to_owned()
    };
    match &provider.settings {
        Settings::Oidc(settings) => {
            format!("{whose} in the app's OAuth settings in Salesforce:\n{}", for_oauth(settings, provider, config))
        }
        Settings::Saml(setup) => {
            let mut text = format!("{whose} in the app's SAML settings in Salesforce:\n");
            for (name, value) in saml::entries(setup, provider, config) {
                let _ = writeln!(text, "  {name:<38} {value}");
            }
            text
        }
    }
}

fn for_oauth(settings: &oidc::Settings, provider: &Entry, config: &Config) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<38} {value}");
    };
    for (index, callback) in config.callbacks(provider).enumerate() {
        line(if index == 0 { "Callback URL" } else { "" }, &callback);
    }
    line("Selected OAuth Scopes", &settings.scopes.join(", "));
    line("Require Proof Key for Code Exchange", "on (the gateway always sends one)");
    let (secret, signature) = match &settings.client {
        ClientAuthentication::SecretPost(_) | ClientAuthentication::SecretBasic(_) => ("on", None),
        ClientAuthentication::PrivateKeyJwt { .. } => ("on", Some("the certificate of client_key")),
        ClientAuthentication::Public => ("off (there is no client_secret)", None),
    };
    line("Require Secret for Web Server Flow", secret);
    if let Some(signature) = signature {
        line("Use digital signatures", signature);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
public_url = "https://wiki.example.com"
[provider.salesforce]
org = "https://acme.my.salesforce.com"
client_id = "3MVG9abc"
client_secret = "hunter2"
[[route]]
upstream = "http://127.0.0.1:3000"
[[route]]
host = "grafana.example.com"
path = "/assets"
public = true
upstream = "http://127.0.0.1:3001"
"#;

    #[test]
    fn each_of_several_providers_is_told_apart() {
        let second = "[provider.partners]\norg = \"https://partners.my.salesforce.com\"\nclient_id = \"3MVG9b\"\n\
                      organizations = [\"00D5g00000FGHIJ\"]\ntitle = \"Partners\"\n";
        let first = "client_secret = \"hunter2\"";
        let text = TEXT.replace(first, &format!("{first}\norganizations = [\"00D5g00000ABCDE\"]\n{second}"));
        let config = file::read(&text, "gateway.toml", &[]).unwrap();
        let summary = summary(&config);
        assert!(summary.contains("partners at https://partners.my.salesforce.com, shown as \"Partners\""), "{summary}");
        assert_eq!(summary.matches("who may").count(), 2, "{summary}");
        for provider in &config.providers {
            let name = provider.settings.name();
            let text = for_salesforce(provider, &config);
            assert!(text.starts_with(&format!("For {name}, enter in the app's OAuth settings")), "{text}");
            assert!(text.contains(&format!("/.portcullis/callback/{name}\n")), "{text}");
        }
    }

    #[test]
    fn every_callback_address_and_scope_is_printed_to_be_entered() {
        let config = file::read(TEXT, "gateway.toml", &[]).unwrap();
        let text = for_salesforce(&config.providers[0], &config);
        assert!(text.contains("https://wiki.example.com/.portcullis/callback\n"), "{text}");
        assert!(text.contains("https://grafana.example.com/.portcullis/callback\n"), "{text}");
        assert!(text.contains("openid, profile, email"), "{text}");
        assert!(text.contains("Require Secret for Web Server Flow     on\n"), "{text}");
        let public = file::read(&TEXT.replace("client_secret", "#"), "gateway.toml", &[]).unwrap();
        assert!(for_salesforce(&public.providers[0], &public).contains("off (there is no client_secret)"));
    }

    #[test]
    fn the_summary_names_routes_and_who_may_and_no_secret() {
        let config = file::read(TEXT, "gateway.toml", &[]).unwrap();
        let text = summary(&config);
        assert!(text.contains("wiki.example.com/ -> http://127.0.0.1:3000 (signed in)"), "{text}");
        assert!(text.contains("grafana.example.com/assets -> http://127.0.0.1:3001 (public)"), "{text}");
        assert!(text.contains("users of that org of type STANDARD"), "{text}");
        assert!(!text.contains("hunter2") && !for_salesforce(&config.providers[0], &config).contains("hunter2"));
    }
}
