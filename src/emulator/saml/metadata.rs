//! The identity provider's metadata (behaviour 28, salesforce.md 6.1).
//!
//! One signing certificate, one name id format, POST before Redirect, single logout only when the app has it. The
//! entity id is My Domain even where the endpoints are the site's. Called by the emulator's dispatch.

use hyper::StatusCode;

use super::app::{Binding, EndpointHost, SamlApp};
use super::message::{Moment, attribute, element};
use super::mischief::SamlMischief;
use super::{HTTP_POST, HTTP_REDIRECT, LOGOUT};
use crate::clock::Timestamp;
use crate::emulator::idtoken::ELSEWHERE;
use crate::emulator::{Org, wire};
use crate::http::{self, Response};
use crate::identity::xmldsig::{DSIG, PROTOCOL};

const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
/// Behaviour 28: about ten years.
const LIFE: i64 = 3653 * 24 * 3600;
const YESTERDAY: i64 = -24 * 3600;

impl Org {
    /// `/.well-known/samlidp.xml`.
    pub(super) fn saml_metadata(&self, now: Timestamp) -> Response {
        self.note("saml-metadata");
        match self.saml_mischief() {
            Some(SamlMischief::MetadataHtml) => wire::html_page(StatusCode::OK),
            Some(SamlMischief::MetadataDown) => wire::hang_up(),
            mischief => {
                let text = self.describe_provider(&self.app().saml, mischief, now);
                http::answer(StatusCode::OK, "application/xml;charset=UTF-8", text)
            }
        }
    }

    fn describe_provider(&self, app: &SamlApp, mischief: Option<SamlMischief>, now: Timestamp) -> String {
        let host = match app.host {
            EndpointHost::MyDomain => &self.instance,
            EndpointHost::Site => &self.site,
        };
        let entity = if mischief == Some(SamlMischief::MetadataWrongEntity) { ELSEWHERE } else { &self.instance };
        let life = if mischief == Some(SamlMischief::MetadataStale) { YESTERDAY } else { LIFE };
        let key = match mischief {
            Some(SamlMischief::MetadataWithoutKey) => String::new(),
            _ => key_descriptor(self.keys.saml().certificate(app.certificate)),
        };
        let service = |name: &str, binding: Binding, path: &str| {
            let location = attribute("Location", Some(&format!("{host}{path}")));
            format!("<md:{name} Binding=\"{}\"{location}/>", binding.address())
        };
        let mut services = String::new();
        if app.single_logout.is_some() {
            services.push_str(&service("SingleLogoutService", Binding::Redirect, LOGOUT));
            services.push_str(&service("SingleLogoutService", Binding::Post, LOGOUT));
        }
        services.push_str(&element("md:NameIDFormat", "", app.name_id_format.address()));
        services.push_str(&service("SingleSignOnService", Binding::Post, HTTP_POST));
        services.push_str(&service("SingleSignOnService", Binding::Redirect, HTTP_REDIRECT));
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><md:EntityDescriptor xmlns:md=\"{METADATA}\"{}{}>\
             <md:IDPSSODescriptor WantAuthnRequestsSigned=\"false\" protocolSupportEnumeration=\"{PROTOCOL}\">\
             {key}{services}</md:IDPSSODescriptor></md:EntityDescriptor>",
            attribute("entityID", Some(entity)),
            attribute("validUntil", Some(&Moment::at(now, 0).plus(life).text())),
        )
    }
}

fn key_descriptor(pem: &str) -> String {
    let body: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    format!(
        "<md:KeyDescriptor use=\"signing\"><ds:KeyInfo xmlns:ds=\"{DSIG}\"><ds:X509Data><ds:X509Certificate>{}\
         </ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>",
        body.concat()
    )
}
