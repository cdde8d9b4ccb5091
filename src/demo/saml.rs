//! The demonstration's provider for SAML, and the org's side of it: what an administrator enters by hand.
//!
//! The gateway gets a key of its own, so that signing out goes on at the org and comes back. Called by `demo`.

use std::io;

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};

use crate::emulator::people::HOME_ORGANIZATION;
use crate::emulator::saml::METADATA;
use crate::emulator::saml::app::{Binding, Formula, SingleLogout};
use crate::emulator::{self};

/// The lines of the provider. The org is told of the gateway at `address`.
pub(super) fn provide(address: &str, binding: Binding, org: &emulator::Running) -> io::Result<String> {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).map_err(io::Error::other)?;
    let certificate = CertificateParams::new(["portcullis demo".to_owned()])
        .and_then(|wanted| wanted.self_signed(&key))
        .map_err(io::Error::other)?
        .pem();
    let word = match binding {
        Binding::Redirect => "redirect",
        Binding::Post => "post",
    };
    let lines = format!(
        "protocol = \"saml\"\n\
         metadata = \"{}{METADATA}\"\n\
         binding = \"{word}\"\n\
         organization = \"{HOME_ORGANIZATION}\"\n\
         sign_requests = true\n\
         request_key = '''\n{}'''\n\
         request_certificate = '''\n{certificate}'''\n",
        org.org_url(),
        key.serialize_pem(),
    );
    let url = format!("{address}/.portcullis/saml/logout");
    org.configure(|app| {
        app.saml.request_certificate = Some(certificate);
        // Salesforce sends no name by itself.
        app.saml.attributes = vec![("name".to_owned(), Formula::Name)];
        app.saml.single_logout = Some(SingleLogout { url, binding });
    });
    Ok(lines)
}
