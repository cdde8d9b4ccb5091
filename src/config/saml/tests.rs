//! Every complaint about a provider that speaks SAML, by the key that it names.

use std::path::Path;

use crate::config::file::read;
use crate::config::{Config, Problem};
use crate::identity;
use crate::identity::oidc::UserTypes;
use crate::identity::saml::setup::{Place, Setup, Source};
use crate::identity::saml::{Binding, Organization, Reauthentication, Requests, Unsolicited};
use crate::identity::xmldsig::Sha1;

/// A directory with two certificates of an org, our own key, its certificate, and another certificate.
fn files() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in ["org", "next", "ours"] {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let made = rcgen::CertificateParams::new([format!("{name}.example")]).unwrap().self_signed(&key).unwrap();
        std::fs::write(directory.path().join(format!("{name}.crt")), made.pem()).unwrap();
        std::fs::write(directory.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    directory
}

const GOOD: [&str; 4] = [
    "issuer = \"https://acme.my.salesforce.com\"",
    "sso_url = \"https://acme.my.salesforce.com/idp/endpoint/HttpRedirect\"",
    "certificate = \"org.crt\"",
    "organization = \"00D5g00000ABCDE\"",
];

/// The smallest good provider with these lines in the place of those of the same key; a bare key leaves one out.
fn text(lines: &[&str]) -> String {
    let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let kept = GOOD.iter().filter(|good| !lines.iter().any(|line| key(line) == key(good)));
    let written = lines.iter().filter(|line| line.contains('='));
    let lines: Vec<&str> = kept.chain(written).copied().collect();
    format!(
        "public_url = \"https://wiki.example.com\"\n[provider.sf]\nprotocol = \"saml\"\n{}\n[[route]]\n\
         upstream = \"http://127.0.0.1:3000\"\n",
        lines.join("\n")
    )
}

fn load(directory: &Path, lines: &[&str]) -> Result<Config, Vec<Problem>> {
    let origin = directory.join("gateway.toml").display().to_string();
    read(&text(lines), &origin, &[]).map_err(|problems| problems.0)
}

#[track_caller]
fn good(directory: &Path, lines: &[&str]) -> Setup {
    match load(directory, lines).unwrap_or_else(|problems| panic!("{problems:?}")).providers.remove(0).settings {
        identity::Settings::Saml(setup) => *setup,
        identity::Settings::Oidc(_) => panic!("another protocol"),
    }
}

#[track_caller]
fn complaint(directory: &Path, lines: &[&str], key: &str) -> Problem {
    let problems = load(directory, lines).expect_err("a complaint");
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, [format!("provider.sf.{key}")], "{problems:?}");
    problems[0].clone()
}

const KEY: [&str; 2] = ["request_key = { file = \"ours.key\" }", "request_certificate = \"ours.crt\""];

#[test]
fn three_values_of_salesforces_page_and_the_org_are_enough() {
    let files = files();
    let setup = good(files.path(), &[]);
    assert_eq!(setup.entity_id, "https://wiki.example.com/.portcullis/saml/metadata");
    let Source::Pinned { issuer, slo_url, certificates, .. } = &setup.source else { panic!("metadata") };
    assert_eq!((issuer.as_str(), slo_url, certificates.len()), ("https://acme.my.salesforce.com", &None, 1));
    assert_eq!((setup.binding, setup.requests, setup.sha1), (Binding::Redirect, Requests::Unsigned, Sha1::Refused));
    assert_eq!(setup.reauthentication, Reauthentication::Unneeded);
    assert_eq!(setup.unsolicited, Unsolicited::Refused);
    assert_eq!(setup.user_types, UserTypes::default());
    assert!(matches!(setup.organization, Organization::Known(_)));
    let config = load(files.path(), &[]).unwrap();
    assert_eq!(
        config.callbacks(&config.providers[0]).collect::<Vec<_>>(),
        ["https://wiki.example.com/.portcullis/saml/acs"]
    );
}

#[test]
fn every_switch_is_heard() {
    let files = files();
    let setup = good(
        files.path(),
        &[
            &["certificate = [\"org.crt\", \"next.crt\"]", "binding = \"post\"", "sign_requests = true"][..],
            &["force_authn = true", "allow_idp_initiated = true", "dangerous_accept_sha1 = true"],
            &["organization", "organization_attribute = \"org\"", "user_types = [\"any\"]", "clock_skew = \"0s\""],
            &["slo_url = \"https://acme.my.salesforce.com/slo\""],
            &KEY,
        ]
        .concat(),
    );
    let Source::Pinned { slo_url, certificates, .. } = &setup.source else { panic!("metadata") };
    assert_eq!((slo_url.is_some(), certificates.len(), setup.key.is_some()), (true, 2, true));
    assert_eq!((setup.binding, setup.requests), (Binding::Post, Requests::Signed));
    assert_eq!(setup.sha1, Sha1::DangerouslyBelieved);
    assert_eq!((setup.reauthentication, setup.unsolicited), (Reauthentication::Required, Unsolicited::Accepted));
    assert_eq!(setup.organization, Organization::Attribute("org".to_owned()));
    assert_eq!(setup.user_types, UserTypes::Any);
}

#[test]
fn each_key_that_is_missing_is_named() {
    let files = files();
    for key in ["issuer", "sso_url", "certificate", "organization"] {
        assert!(complaint(files.path(), &[key], key).wrong.starts_with("is missing"), "{key}");
    }
    complaint(files.path(), &["organization_attribute = \"org\""], "organization_attribute");
}

#[test]
fn an_address_is_https_and_nothing_more() {
    let files = files();
    for bad in ["acme.my.salesforce.com", "http://acme.my.salesforce.com/x", "javascript:alert(1)", "https://a:b@c/"] {
        complaint(files.path(), &[&format!("sso_url = \"{bad}\"")], "sso_url");
    }
    good(files.path(), &["sso_url = \"http://127.0.0.1:8443/idp/endpoint/HttpRedirect\""]);
}

#[test]
fn a_certificate_is_a_certificate() {
    let files = files();
    complaint(files.path(), &["certificate = \"nowhere.crt\""], "certificate");
    complaint(files.path(), &["certificate = \"ours.key\""], "certificate");
    complaint(files.path(), &["certificate = []"], "certificate");
    complaint(files.path(), &["certificate = 7"], "certificate");
}

#[test]
fn a_key_comes_with_its_own_certificate() {
    let files = files();
    good(files.path(), &KEY);
    complaint(files.path(), &KEY[..1], "request_key");
    complaint(files.path(), &KEY[1..], "request_certificate");
    complaint(files.path(), &[KEY[0], "request_certificate = \"org.crt\""], "request_certificate");
    complaint(files.path(), &["sign_requests = true"], "sign_requests");
    complaint(files.path(), &["slo_url = \"https://acme.my.salesforce.com/slo\""], "slo_url");
}

#[test]
fn metadata_stands_alone() {
    let files = files();
    let address = "metadata = \"https://acme.my.salesforce.com/.well-known/samlidp.xml\"";
    let alone = ["issuer", "sso_url", "certificate", address];
    let Source::Metadata { place: Place::Address(_), issuer: None } = good(files.path(), &alone).source else {
        panic!("another source")
    };
    let Source::Metadata { issuer: Some(_), .. } = good(files.path(), &alone[1..]).source else {
        panic!("another source")
    };
    complaint(files.path(), &["sso_url", address], "certificate");
    complaint(files.path(), &["certificate", address], "sso_url");
    complaint(files.path(), &["sso_url", "certificate", "metadata = \"http://acme.example/x\""], "metadata");
    complaint(files.path(), &["sso_url", "certificate", "metadata = \"nowhere.xml\""], "metadata");
    complaint(files.path(), &["sso_url", "certificate", "metadata = \"org.crt\""], "metadata");
}

#[test]
fn keys_of_the_other_protocol_are_unknown_here() {
    let files = files();
    complaint(files.path(), &["client_id = \"3MVG9abc\""], "client_id");
    complaint(files.path(), &["org = \"https://acme.my.salesforce.com\""], "org");
}

#[test]
fn plain_text_is_for_this_machine_alone() {
    let files = files();
    let origin = files.path().join("gateway.toml").display().to_string();
    let at = |public: &str| {
        let text = text(&[]).replace("https://wiki.example.com", public);
        read(&format!("dangerous_plain_text_public_url = true\n{text}"), &origin, &[])
    };
    assert!(at("http://localhost:8080").is_ok());
    let problems = at("http://wiki.example.com").expect_err("a complaint");
    assert_eq!(problems.keys().collect::<Vec<_>>(), ["provider.sf.protocol"], "{problems}");
}

#[test]
fn each_of_several_is_another_service_provider() {
    let files = files();
    let partners = GOOD.join("\n").replace("00D5g00000ABCDE", "00D5g00000FGHIJ");
    let second = format!("[provider.partners]\nprotocol = \"saml\"\n{partners}\ntitle = \"Partners\"\n");
    let origin = files.path().join("gateway.toml").display().to_string();
    let load = |first: &[&str]| read(&(text(first) + &second), &origin, &[]).unwrap();
    let entity_ids = |config: &Config| -> Vec<String> {
        let ids = config.providers.iter().map(|entry| match &entry.settings {
            identity::Settings::Saml(setup) => {
                let path = entry.paths().metadata.unwrap();
                assert_eq!(setup.entity_id, format!("https://wiki.example.com/.portcullis{path}"));
                path
            }
            identity::Settings::Oidc(_) => panic!("another protocol"),
        });
        ids.collect()
    };
    let both = load(&[]);
    assert_eq!(entity_ids(&both), ["/saml/metadata/sf", "/saml/metadata/partners"]);
    assert_eq!(
        both.providers.iter().flat_map(|entry| both.callbacks(entry)).collect::<Vec<_>>(),
        ["https://wiki.example.com/.portcullis/saml/acs/sf", "https://wiki.example.com/.portcullis/saml/acs/partners"]
    );
    let kept = load(&["addresses = \"short\""]);
    assert_eq!(entity_ids(&kept), ["/saml/metadata", "/saml/metadata/partners"]);
}

#[test]
fn an_attribute_names_one_of_the_orgs_that_are_listed() {
    let files = files();
    let attribute = ["organization", "organization_attribute = \"org\""];
    let with = |more: &'static str| [attribute[0], attribute[1], more];
    let listed = with("organizations = [\"00D5g00000ABCDE\"]");
    assert_eq!(good(files.path(), &listed).organizations.len(), 1);
    complaint(files.path(), &["organizations = [\"00D5g00000ABCDE\"]"], "organizations");
    complaint(files.path(), &with("organizations = [\"acme\"]"), "organizations[1]");

    let origin = files.path().join("gateway.toml").display().to_string();
    let other = "[provider.b]\norg = \"https://b.my.salesforce.com\"\nclient_id = \"x\"\n\
                 organizations = [\"00D5g00000ABCDE\"]\n";
    let problems = read(&(text(&attribute) + other), &origin, &[]).unwrap_err();
    assert_eq!(problems.keys().collect::<Vec<_>>(), ["provider.sf.organizations"], "{problems}");
    read(&(text(&listed) + other), &origin, &[]).unwrap();
}
