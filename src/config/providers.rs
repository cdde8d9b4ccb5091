//! `[provider.NAME]`, all of them: in which order people choose, what they are called, and what keeps them apart.
//!
//! The keys of each protocol are read by `config::provider` and `config::saml`. With several providers each has to
//! say whose users it speaks for: otherwise one org could sign in another's people. Called by `config::file`.

use super::front::Front;
use super::problem::Wrong;
use super::reader::{Table, Written};
use super::value::{choice, words};
use super::{provider, saml};
use crate::http::Scheme;
use crate::http::origin::Origin;
use crate::identity::salesforce::is_shared_login_host;
use crate::identity::saml::{OUR_METADATA, Organization};
use crate::identity::{Addresses, Entry, ProviderName, Settings};

/// The protocols that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Oidc,
    Saml,
}

const PROTOCOLS: [(&str, Protocol); 2] = [("oidc", Protocol::Oidc), ("saml", Protocol::Saml)];
const ADDRESSES: [(&str, Addresses); 2] = [("short", Addresses::Short), ("named", Addresses::Named)];

/// The longest title, in characters.
const TITLE: usize = 60;

/// A table of which only the keys are read that all providers have.
struct Draft<'r> {
    table: Table<'r>,
    name: ProviderName,
    protocol: Option<Protocol>,
    title: Option<String>,
    addresses: Option<Addresses>,
}

/// All providers, in the order of the file; never none.
pub(super) fn read(root: &Table<'_>, front: &Front) -> Option<Vec<Entry>> {
    let providers = root.table("provider");
    let mut tables = providers.named();
    if tables.is_empty() {
        if !root.has("provider") || providers.is_present() {
            root.complain(
                "provider",
                "is missing: nobody could sign in",
                "write [provider.salesforce] with org and client_id below",
            );
        }
        return None;
    }
    // The parser gives them by name.
    tables.sort_by_key(|(name, _)| providers.rank(name));
    let drafts: Vec<Draft<'_>> = tables.into_iter().map(|(name, table)| draft(&providers, name, table)).collect();
    let mut entries = Vec::with_capacity(drafts.len());
    for draft in &drafts {
        let addresses = addresses(draft, &drafts);
        let settings = settings(draft, addresses, front);
        if let Some(settings) = settings.as_ref().filter(|_| drafts.len() > 1) {
            speaks_for_its_own(&draft.table, settings);
        }
        // The other keys depend on it.
        if draft.protocol.is_some() {
            draft.table.finish();
        }
        entries.push(settings.map(|settings| Entry { title: title(draft, &settings), addresses, settings }));
    }
    let entries: Vec<Entry> = entries.into_iter().collect::<Option<_>>()?;
    for (index, entry) in entries.iter().enumerate() {
        let reads_alike = |other: &&Entry| other.title.to_lowercase() == entry.title.to_lowercase();
        if let (Some(other), Some(draft)) = (entries[..index].iter().find(reads_alike), drafts.get(index)) {
            let what = format!("reads like that of {}: {:?}", other.settings.name(), entry.title);
            draft.table.complain("title", what, "give each a title of its own: title = \"Acme staff\"");
        }
    }
    Some(entries)
}

fn draft<'r>(providers: &Table<'r>, name: String, table: Table<'r>) -> Draft<'r> {
    let good =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b));
    if !good {
        providers.complain(&name, "is not a name for a provider", "use lower-case letters, digits, _ and -");
    }
    Draft {
        protocol: table.get("protocol", Some("oidc"), Written::Text, |text| choice(text, &PROTOCOLS)),
        title: table.get("title", None, Written::Text, short),
        addresses: table.get("addresses", None, Written::Text, |text| choice(text, &ADDRESSES)),
        table,
        name: ProviderName(name),
    }
}

fn short(text: &str) -> Result<String, Wrong> {
    let title = words(text)?;
    if title.chars().count() > TITLE {
        return Err(Wrong::new("is too long for a button", format!("write at most {TITLE} letters")));
    }
    Ok(title)
}

/// What was written, or else a host that people may know, or else the name.
fn title(draft: &Draft<'_>, settings: &Settings) -> String {
    draft.title.clone().or_else(|| settings.place()).unwrap_or_else(|| draft.name.to_string())
}

/// What our addresses for a provider are called: nobody else's.
fn addresses(draft: &Draft<'_>, all: &[Draft<'_>]) -> Addresses {
    let of_its_kind = || all.iter().filter(|other| other.protocol == draft.protocol);
    let Some(written) = draft.addresses else {
        return if of_its_kind().count() > 1 { Addresses::Named } else { Addresses::Short };
    };
    let first = of_its_kind().find(|other| other.addresses == Some(Addresses::Short));
    if let Some(first) = first.filter(|first| written == Addresses::Short && first.name != draft.name) {
        let what = format!("is \"short\" as for {}: both would have the same addresses", first.name);
        draft.table.complain("addresses", what, "write \"named\" for one of them");
    }
    written
}

fn settings(draft: &Draft<'_>, addresses: Addresses, front: &Front) -> Option<Settings> {
    let Draft { table, name, .. } = draft;
    match draft.protocol? {
        Protocol::Oidc => provider::settings(table, name.clone()).map(|settings| Settings::Oidc(Box::new(settings))),
        Protocol::Saml => {
            travels(table, front);
            let (public, prefix) = (front.public.as_ref(), front.prefix.as_deref());
            let path = addresses.path(OUR_METADATA, name);
            let entity_id = format!("{}{}{path}", public.map_or("", Origin::as_str), prefix.unwrap_or_default());
            saml::settings(table, name.clone(), entity_id).map(|setup| Settings::Saml(Box::new(setup)))
        }
    }
}

/// SAML's answer is a form posted by another site, and browsers let a cookie come along only if it is `Secure`.
fn travels(table: &Table<'_>, front: &Front) {
    if let Some(public) =
        front.public.as_ref().filter(|public| public.scheme() == Scheme::Http && !public.is_loopback())
    {
        let what = format!("\"saml\" does not work at {public}: browsers keep its cookie on https alone");
        table.complain("protocol", what, "give public_url https, or write \"oidc\"");
    }
}

/// Beside others, a provider may only speak for orgs that the configuration names.
fn speaks_for_its_own(table: &Table<'_>, settings: &Settings) {
    let open = match settings {
        // A shared login host has had its complaint.
        Settings::Oidc(settings) => !settings.org.host_str().is_some_and(is_shared_login_host),
        Settings::Saml(setup) => matches!(setup.organization, Organization::Attribute(_)),
    };
    if open && settings.organizations().is_empty() {
        let what = "is empty, but there are other providers: this one's org could sign in their people";
        table.complain("organizations", what, "write organizations = [\"00D...\"] with the ids of its orgs");
    }
}
