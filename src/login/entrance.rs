//! The ways to sign in: each provider with its own rules and with addresses that no other answers at.
//!
//! Everything that is a provider's is asked here, by the name that an attempt or a session bears or by the address
//! that a browser came to, so that no code can take one for another. Made by `gateway`; called by `login`.

use crate::identity::oidc::UserTypes;
use crate::identity::{Entry, Paths, Provider, ProviderName, SetupProblem};
use crate::policy::SignInRules;
use crate::session::cookie::Travel;

/// One way to sign in.
pub struct Entrance {
    /// Who vouches for people.
    pub provider: Provider,
    /// For which of them the house is open.
    pub rules: SignInRules,
    /// What people read where they choose.
    pub title: String,
    /// Where it is, for people who know their org by its host.
    pub place: Option<String>,
    /// Our own addresses for it.
    pub paths: Paths,
}

/// All ways to sign in, in the order that they are shown.
pub struct Entrances(Vec<Entrance>);

/// Which of an entrance's addresses a browser came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The one for answers to sign-ins.
    Answer,
    /// The one for logout messages.
    Logout,
    /// The one of our metadata.
    Metadata,
}

impl Entrance {
    /// Checks the settings; speaks to nobody yet.
    ///
    /// # Errors
    /// [`SetupProblem`] says what to change.
    pub fn new(entry: &Entry) -> Result<Self, SetupProblem> {
        let rules = SignInRules {
            organizations: entry.settings.organizations().to_vec(),
            user_types: match entry.settings.user_types() {
                UserTypes::Only(types) => Some(types.clone()),
                UserTypes::Any => None,
            },
        };
        Ok(Self {
            provider: Provider::new(entry.settings.clone())?,
            rules,
            title: entry.title.clone(),
            place: entry.settings.place(),
            paths: entry.paths(),
        })
    }

    /// An id that its provider chose, as no other provider can choose it too: none could use up another's.
    pub(super) fn own(&self, id: &str) -> String {
        // No name has a space.
        format!("{} {id}", self.name())
    }

    /// How its provider's answers travel, and the cookies of attempts with them.
    pub(super) fn travel(&self) -> Travel {
        match &self.provider {
            Provider::Oidc(_) => Travel::Links,
            Provider::Saml(_) => Travel::Forms,
        }
    }

    /// Its provider's name in the configuration.
    pub fn name(&self) -> &ProviderName {
        self.provider.name()
    }
}

impl Entrances {
    /// One for each provider.
    ///
    /// # Errors
    /// [`SetupProblem`], the first one's.
    pub fn new(entries: &[Entry]) -> Result<Self, SetupProblem> {
        entries.iter().map(Entrance::new).collect::<Result<_, _>>().map(Self)
    }

    /// How an answer may travel at most: what has to be there whichever it is travels so.
    pub fn travel(&self) -> Travel {
        let forms = self.iter().any(|entrance| entrance.travel() == Travel::Forms);
        if forms { Travel::Forms } else { Travel::Links }
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entrance> {
        self.0.iter()
    }

    /// The one that there is, when nobody has to choose.
    pub(super) fn only(&self) -> Option<&Entrance> {
        if let [entrance] = self.0.as_slice() { Some(entrance) } else { None }
    }

    /// The one of the provider with that name.
    pub(super) fn named(&self, name: &str) -> Option<&Entrance> {
        self.iter().find(|entrance| entrance.name().0 == name)
    }

    /// The one that has this address, which is `rest` after the prefix.
    pub(super) fn at(&self, rest: &str) -> Option<(&Entrance, Arrival)> {
        self.iter().find_map(|entrance| {
            let is_here = |path: &Option<String>| path.as_deref() == Some(rest);
            let Paths { answer, logout, metadata } = &entrance.paths;
            let arrival = match () {
                () if answer == rest => Arrival::Answer,
                () if is_here(logout) => Arrival::Logout,
                () if is_here(metadata) => Arrival::Metadata,
                () => return None,
            };
            Some((entrance, arrival))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::read;

    fn entrances(names: &[&str]) -> Entrances {
        let table = |name: &&str| {
            format!(
                "[provider.{name}]\norg = \"https://{name}.my.salesforce.com\"\nclient_id = \"x\"\n\
                 organizations = [\"00D5g00000ABCDE\"]\n"
            )
        };
        let tables: String = names.iter().map(table).collect();
        let text = format!("public_url = \"http://localhost\"\n{tables}[[route]]\nupstream = \"http://127.0.0.1:1\"\n");
        Entrances::new(&read(&text, "test", &[]).unwrap().providers).unwrap()
    }

    #[test]
    fn each_address_is_of_one_entrance() {
        let one = entrances(&["a"]);
        assert!(one.only().is_some() && one.at("/callback").is_some());
        for path in ["/callback/a", "/callback/", "/Callback", "", "/", "/saml/acs", "/saml/metadata"] {
            assert!(one.at(path).is_none(), "{path}");
        }
        let two = entrances(&["b", "a"]);
        assert!(two.only().is_none());
        let found = |path: &str| two.at(path).map(|(entrance, arrival)| (entrance.name().0.as_str(), arrival));
        assert_eq!(found("/callback/b"), Some(("b", Arrival::Answer)));
        assert_eq!(found("/callback/a"), Some(("a", Arrival::Answer)));
        for path in ["/callback", "/callback/", "/callback/c", "/callback/a/b", "/callback/A", "/callback/a/"] {
            assert_eq!(found(path), None, "{path}");
        }
        assert!(two.named("a").is_some() && two.named("A").is_none() && two.named("").is_none());
    }

    #[test]
    fn one_provider_cannot_use_up_anothers_ids() {
        let two = entrances(&["a", "a-b"]);
        let own: Vec<String> = two.iter().flat_map(|one| [one.own("x"), one.own("b x"), one.own(" x")]).collect();
        let different: std::collections::BTreeSet<&String> = own.iter().collect();
        assert_eq!(different.len(), own.len());
    }
}
