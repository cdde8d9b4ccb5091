//! Another XML signature verifier, bergshamra, asked about whatever ours accepts: two programs that share nothing but
//! the standard (and the primitives of aws-lc) seldom make the same mistake.
//!
//! It can far more than a sign-in needs and is too trusting for one, so it is no judge of what to refuse: it believes
//! SHA-1 and internal DTDs, and of two equal ids it takes one. It never decrypts, for it rewrites what it decrypted;
//! an encrypted assertion is opened by us and judged as it comes out. Called by the tests of `saml` and of the
//! emulator.

use bergshamra_dsig::DsigContext;
use bergshamra_dsig::verify::{VerifyResult, verify_all};
use bergshamra_keys::KeysManager;
use bergshamra_keys::loader::load_x509_cert_der;
use roxmltree::Document;

use super::Settings;
use super::consume::survey;
use crate::identity::xmldsig::{self, DSIG, Kind, Within, parse, verify};

/// Asks it about an answer that we accepted; tells how many signatures it found good.
///
/// # Errors
/// Its words, when it calls one of them bad, or finds one to cover something else than what it stands in.
pub(crate) fn vouches(xml: &str, settings: &Settings) -> Result<usize, String> {
    let tree = parse(xml, Kind::Message).map_err(|problem| problem.to_string())?;
    let signatures = judge(&tree, settings)?;
    match survey(tree.root_element()) {
        Ok(Some(encrypted)) if encrypted.tag_name().name() == "EncryptedAssertion" => {
            let whole = verify(tree.root_element(), &settings.trust()).map_err(|bad| bad.to_string())?;
            let within = whole.and_then(|whole| whole.elements().find(|child| child.node() == encrypted));
            let key = settings.key.as_ref().ok_or("no key")?;
            let place = within.map_or(Within::Unverified(encrypted), Within::Verified);
            let opened = xmldsig::decrypt(place, &key.decryption).map_err(|failure| failure.to_string())?;
            let inner = opened.parse().map_err(|problem| problem.to_string())?;
            Ok(signatures + judge(&inner, settings)?)
        }
        _ => Ok(signatures),
    }
}

/// Every signature of a document must be good, and cover the element that it stands in.
fn judge(tree: &Document<'_>, settings: &Settings) -> Result<usize, String> {
    let signatures = tree.descendants().filter(|node| xmldsig::is(*node, DSIG, "Signature"));
    let wanted: Vec<String> = signatures
        .map(|node| format!("#{}", node.parent().and_then(|parent| parent.attribute("ID")).unwrap_or_default()))
        .collect();
    if wanted.is_empty() {
        return Ok(0);
    }
    let mut keys = KeysManager::new();
    for certificate in &settings.certificates {
        keys.add_key(load_x509_cert_der(certificate.der()).map_err(|problem| problem.to_string())?);
    }
    let verdicts = verify_all(&DsigContext::new(keys), tree.input_text()).map_err(|problem| problem.to_string())?;
    let mut covered = Vec::new();
    for verdict in verdicts {
        match verdict {
            VerifyResult::Invalid { reason } => return Err(reason),
            VerifyResult::Valid { references, .. } => covered.extend(references.into_iter().map(|found| found.uri)),
        }
    }
    if covered == wanted { Ok(wanted.len()) } else { Err(format!("it covers {covered:?}, not {wanted:?}")) }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use super::*;
    use crate::identity::xmldsig::{Cipher, encrypt_assertion};

    #[test]
    fn it_counts_every_signature_and_finds_a_bad_one() {
        let both = Draft::new().signed(Signed::Both);
        assert_eq!(vouches(&both, &settings()), Ok(2));
        assert_eq!(vouches(&Draft::new().xml(), &settings()), Ok(0));
        let encrypted = encrypt_assertion(&both, &OURS.certificate, Cipher::Aes256Gcm).unwrap();
        assert!(vouches(&encrypted, &settings()).is_err(), "the Response was signed before");
        let mut draft = Draft::new();
        draft.response_issuer.clear();
        let inner = draft.signed(Signed::Assertion);
        let encrypted = encrypt_assertion(&inner, &OURS.certificate, Cipher::Aes256Gcm).unwrap();
        assert_eq!(vouches(&encrypted, &settings()), Ok(1));
        for (from, to) in
            [("ada@mail", "bob@mail"), ("Version=\"2.0\" IssueInstant=\"2", "Version=\"2.0\" IssueInstant=\"3")]
        {
            assert!(vouches(&both.replacen(from, to, 1), &settings()).is_err(), "{from}");
        }
        assert!(vouches(&draft.signed_by(&FORGER, Signed::Assertion), &settings()).is_err());
    }
}
