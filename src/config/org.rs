//! The address of the Salesforce org: which one to write, told to whoever wrote another.
//!
//! An org answers at many addresses, and only some speak OpenID Connect as themselves: My Domain, an
//! Experience Cloud site, or the login hosts that all orgs share. People copy the address of the page that
//! they see, which is mostly none of these. Called by `config::provider`.

use url::Url;

use super::problem::Wrong;
use crate::http::origin;

const MY_DOMAIN: &str = "write the org's My Domain address, https://NAME.my.salesforce.com (Salesforce: Setup > My Domain > Current My Domain URL)";

/// Hosts that show an org's pages but are not its address: the ending, what it is, what to write for it.
const PAGES: [(&str, &str); 8] = [
    (".lightning.force.com", "is the address of Lightning pages"),
    (".my.salesforce-setup.com", "is the address of Setup pages"),
    (".lightning.pc-rnd.force.com", "is the address of Lightning pages"),
    (".vf.force.com", "is the address of Visualforce pages"),
    (".visualforce.com", "is the address of Visualforce pages"),
    (".file.force.com", "is the address of files"),
    (".documentforce.com", "is the address of files"),
    (".builder.salesforce-experience.com", "is the address of Experience Builder"),
];

/// The org's address, when a sign-in can begin there.
pub(super) fn read(text: &str) -> Result<Url, Wrong> {
    let Ok(mut url) = Url::parse(text) else {
        let guess = Url::parse(&format!("https://{text}"))
            .ok()
            .filter(|url| url.domain().is_some_and(|host| host.contains('.')));
        return Err(match guess {
            Some(_) if text.contains('@') => Wrong::new("is not an address", MY_DOMAIN),
            Some(_) => Wrong::new(format!("{text:?} lacks https://"), format!("write \"https://{text}\"")),
            None => Wrong::new("is not an address", MY_DOMAIN),
        });
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Wrong::new("contains a user name or password", MY_DOMAIN));
    }
    let Some(host) = url.host_str().map(str::to_owned).filter(|_| matches!(url.scheme(), "http" | "https")) else {
        return Err(Wrong::new("does not begin with https://", MY_DOMAIN));
    };
    if url.scheme() == "http" && !origin::is_loopback(&url) {
        return Err(Wrong::new(
            "is plain http: whoever is on the way could sign in as anybody",
            format!("write \"https://{host}\" (http only for an org on this very machine)"),
        ));
    }
    pages(&host)?;
    path(&url)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Wrong::new("has something after the path", "leave out everything from ? or # on"));
    }
    let trimmed = url.path().trim_end_matches('/').to_owned();
    url.set_path(&trimmed);
    Ok(url)
}

fn pages(host: &str) -> Result<(), Wrong> {
    for (ending, what) in PAGES {
        if let Some(name) = host.strip_suffix(ending) {
            let instead = match ending {
                // acme--uat.sandbox.lightning.force.com keeps its middle.
                ".lightning.force.com" | ".my.salesforce-setup.com" => {
                    format!("write \"https://{name}.my.salesforce.com\", the org's My Domain address")
                }
                _ => MY_DOMAIN.to_owned(),
            };
            return Err(Wrong::new(format!("{host} {what}, where nobody can sign in"), instead));
        }
    }
    if is_instance(host) {
        return Err(Wrong::new(format!("{host} is the address of a Salesforce instance, not of an org"), MY_DOMAIN));
    }
    if matches!(
        host,
        "salesforce.com" | "www.salesforce.com" | "help.salesforce.com" | "api.salesforce.com" | "my.salesforce.com"
    ) {
        return Err(Wrong::new(format!("{host} is not the address of an org"), MY_DOMAIN));
    }
    Ok(())
}

/// `na139.salesforce.com`, `cs12.salesforce.com`, and the same with `.my` in between.
fn is_instance(host: &str) -> bool {
    let Some(name) = host.strip_suffix(".salesforce.com") else { return false };
    let digits = name.trim_start_matches(|c: char| c.is_ascii_lowercase());
    let letters = name.len() - digits.len();
    (2..=4).contains(&letters) && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn path(url: &Url) -> Result<(), Wrong> {
    let origin = url.origin().ascii_serialization();
    let path = url.path();
    // An Experience Cloud site's own path stays: its issuer has it.
    for (page, what) in [
        ("/services/", "is the address of a service of the org"),
        ("/.well-known/", "is the address of the org's description"),
        ("/lightning/", "is the address of a Lightning page"),
        ("/setup/", "is the address of a Setup page"),
        ("/secur/", "is the address of a sign-in page"),
    ] {
        if let Some(at) = format!("{path}/").find(page) {
            let before = path.get(..at).unwrap_or_default();
            return Err(Wrong::new(format!("{path} {what}"), format!("write \"{origin}{before}\"")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instead(text: &str) -> String {
        read(text).unwrap_err().instead
    }

    #[test]
    fn the_orgs_own_addresses_are_taken() {
        for text in [
            "https://acme.my.salesforce.com",
            "https://acme--uat.sandbox.my.salesforce.com",
            "https://login.salesforce.com",
            "https://acme.my.site.com/partners",
            "https://id.acme.example",
            "http://127.0.0.1:8443",
            "http://localhost:8443",
        ] {
            assert!(read(text).is_ok(), "{text}");
        }
        assert_eq!(read("https://acme.my.site.com/partners/").unwrap().as_str(), "https://acme.my.site.com/partners");
    }

    #[test]
    fn a_lightning_or_setup_address_is_turned_into_my_domain() {
        assert!(
            instead("https://acme.lightning.force.com/lightning/page/home")
                .contains("\"https://acme.my.salesforce.com\"")
        );
        assert!(
            instead("https://acme--uat.sandbox.lightning.force.com")
                .contains("\"https://acme--uat.sandbox.my.salesforce.com\"")
        );
        assert!(instead("https://acme.my.salesforce-setup.com/lightning/setup").contains("acme.my.salesforce.com"));
        assert!(instead("https://acme--c.vf.force.com/apex/page").contains("My Domain"));
    }

    #[test]
    fn a_page_of_the_org_is_cut_back_to_the_org() {
        let org = "https://acme.my.salesforce.com";
        for page in [
            "/services/oauth2/authorize",
            "/.well-known/openid-configuration",
            "/lightning/setup/SetupOneHome/home",
            "/lightning",
            "/secur/frontdoor.jsp",
        ] {
            assert_eq!(instead(&format!("{org}{page}")), format!("write \"{org}\""), "{page}");
        }
        let site = "https://acme.my.site.com/partners";
        assert_eq!(instead(&format!("{site}/services/oauth2/token")), format!("write \"{site}\""));
    }

    #[test]
    fn instances_and_other_hosts_of_salesforce_are_no_orgs() {
        for host in ["na139.salesforce.com", "cs12.salesforce.com", "www.salesforce.com", "api.salesforce.com"] {
            assert!(read(&format!("https://{host}")).is_err(), "{host}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        assert!(read("http://acme.my.salesforce.com").is_err());
        assert!(read("http://10.0.0.1").is_err());
    }

    #[test]
    fn an_address_without_a_scheme_gets_one() {
        assert_eq!(instead("acme.my.salesforce.com"), "write \"https://acme.my.salesforce.com\"");
    }

    #[test]
    fn credentials_in_an_address_are_not_repeated() {
        let wrong = read("https://admin:hunter2@acme.my.salesforce.com").unwrap_err();
        assert!(!format!("{wrong:?}").contains("hunter2"));
        let wrong = read("admin:hunter2@acme.my.salesforce.com").unwrap_err();
        assert!(!format!("{wrong:?}").contains("hunter2"));
    }
}
