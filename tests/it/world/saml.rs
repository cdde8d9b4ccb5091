//! A provider that speaks SAML: the org set up for the gateway, and the gateway for the org.

use super::*;

impl Saml {
    /// A provider beside the first.
    pub(super) fn beside(logout: Option<Binding>) -> Self {
        let (binding, source) = (Binding::Redirect, Source::Pinned);
        Self { binding, lines: String::new(), source, key: logout.is_some(), logout }
    }

    /// Sets the org up for the gateway at `url`, and writes the provider that fits.
    pub(super) fn provider(
        &self,
        name: &str,
        org: &emulator::Running,
        url: &str,
        address: &str,
        directory: &tempfile::TempDir,
    ) -> String {
        let path = |file: &str| directory.path().join(format!("{name}-{file}")).display().to_string();
        let write = |file: &str, text: &str| std::fs::write(path(file), text).unwrap();
        org.register_saml(format!("{url}/.portcullis/saml/metadata"), format!("{url}/.portcullis/saml/acs"));
        let mut lines = self.lines.replace("{org}", org.org_url());
        if self.key {
            let (key, certificate) = our_key();
            write("saml.key", key);
            write("saml.crt", certificate);
            lines.push_str(&format!("request_key = {{ file = {:?} }}\n", path("saml.key")));
            lines.push_str(&format!("request_certificate = {:?}\n", path("saml.crt")));
            org.configure(|app| app.saml.request_certificate = Some(certificate.clone()));
        }
        let (word, end) = match self.binding {
            Binding::Redirect => ("redirect", HTTP_REDIRECT),
            Binding::Post => ("post", HTTP_POST),
        };
        lines.push_str(&format!("binding = \"{word}\"\n"));
        if let Some(binding) = self.logout {
            let logout = SingleLogout { url: format!("{url}/.portcullis/saml/logout"), binding };
            org.configure(|app| app.saml.single_logout = Some(logout));
        }
        match self.source {
            Source::Metadata => lines.push_str(&format!("metadata = \"{}{METADATA}\"\n", org.org_url())),
            Source::Pinned => {
                write("org.crt", &org.certificate());
                if self.logout.is_some() {
                    lines.push_str(&format!("slo_url = \"{address}{LOGOUT}\"\n"));
                }
                lines.push_str(&format!(
                    "issuer = \"{}\"\nsso_url = \"{address}{end}\"\ncertificate = {:?}\n",
                    org.org_url(),
                    path("org.crt")
                ));
            }
        }
        format!("protocol = \"saml\"\n{lines}")
    }
}

/// The gateway's own key and its certificate, made once for all worlds of this process.
fn our_key() -> &'static (String, String) {
    static KEY: OnceLock<(String, String)> = OnceLock::new();
    KEY.get_or_init(|| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let made = rcgen::CertificateParams::new(["gateway.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        (key.serialize_pem(), made.pem())
    })
}
