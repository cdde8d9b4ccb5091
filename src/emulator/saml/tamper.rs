//! What becomes of a Response after it was signed, and how it is finally put into the form.
//!
//! Where a reader could be fooled (comments, CDATA, entities), the change leaves the canonical form and with it the
//! signature as it was: only a parser that sees the trick can refuse it. Called by `saml`.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::message::Message;
use super::mischief::SamlMischief;
use super::spoil::TAIL;
use super::wrap;

const LEVELS: usize = 20_000;
const MANY: usize = 10_000;
const TEN_MEGABYTES: usize = 10 * 1024 * 1024;

/// The values of `SAMLResponse`, in order.
pub(super) fn deliver(xml: String, message: &Message, evil: &Message, mischief: Option<SamlMischief>) -> Vec<String> {
    let Some(mischief) = mischief else { return vec![STANDARD.encode(xml)] };
    let text = tamper(xml, message, evil, mischief);
    let plain = STANDARD.encode(&text);
    match mischief {
        SamlMischief::NotBase64 => vec!["%%% this is not base64 %%%".to_owned()],
        SamlMischief::Deflated => vec![STANDARD.encode(deflate(&text).unwrap_or_default())],
        SamlMischief::WrappedResponse => {
            let lines: Vec<String> = text.as_bytes().chunks(57).map(|line| STANDARD.encode(line)).collect();
            vec![lines.join("\n")]
        }
        SamlMischief::ResponseTwice => vec![plain.clone(), plain],
        _ => vec![plain],
    }
}

fn tamper(xml: String, message: &Message, evil: &Message, mischief: SamlMischief) -> String {
    if let Some(wrapped) = wrap::wrap(&xml, evil, mischief) {
        return wrapped;
    }
    let name = message.assertion.name_id.as_deref().unwrap_or_default();
    let other = evil.assertion.name_id.as_deref().unwrap_or_default();
    let in_name = |text: &str| xml.replacen(&format!(">{name}</saml:NameID>"), &format!(">{text}</saml:NameID>"), 1);
    match mischief {
        SamlMischief::Unsigned => without_signatures(xml),
        SamlMischief::BrokenSignature => broken(xml),
        SamlMischief::EditedAfterSigning => edited(xml, message, evil).replace(name, other),
        SamlMischief::SignatureObject => xml.replacen("</ds:Signature>", "<ds:Object/></ds:Signature>", 1),
        SamlMischief::TwoSignatures => twice_signed(xml),
        SamlMischief::DuplicateIds => xml.replace(&message.id, &message.assertion.id),
        SamlMischief::CommentInNameId | SamlMischief::CommentInAttribute => {
            let place = if mischief == SamlMischief::CommentInNameId { "</saml:NameID>" } else { "</saml:Attr" };
            xml.replace(&format!("{TAIL}{place}"), &format!("<!---->{TAIL}{place}"))
        }
        SamlMischief::CdataInNameId => in_name(&format!("<![CDATA[{name}]]>")),
        SamlMischief::InstructionInNameId => in_name(&format!("{name}<?pretend?>")),
        SamlMischief::EntityInNameId => {
            typed(&in_name("&who;"), &format!("<!DOCTYPE samlp:Response [<!ENTITY who \"{name}\">]>"))
        }
        SamlMischief::ExternalEntity => {
            let file = "<!DOCTYPE samlp:Response [<!ENTITY who SYSTEM \"file:///etc/hostname\">]>";
            typed(&in_name("&who;"), file)
        }
        SamlMischief::DocumentType => typed(&xml, "<!DOCTYPE samlp:Response>"),
        SamlMischief::EntityExpansion => typed(&in_name("&e9;"), &laughter()),
        SamlMischief::DeepNesting => {
            let depth = format!("{}{}</samlp:Response>", "<a>".repeat(LEVELS), "</a>".repeat(LEVELS));
            xml.replacen("</samlp:Response>", &depth, 1)
        }
        SamlMischief::ManyAttributes => {
            let many: String = (0..MANY).map(|number| format!(" a{number}=\"\"")).collect();
            xml.replacen("<samlp:Response", &format!("<samlp:Response{many}"), 1)
        }
        SamlMischief::Oversized => xml + &" ".repeat(TEN_MEGABYTES),
        SamlMischief::NotXml => "This is not XML.".to_owned(),
        SamlMischief::EmptyResponse => {
            "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"/>".to_owned()
        }
        _ => xml,
    }
}

/// Every attribute of one person becomes the other's.
fn edited(mut xml: String, message: &Message, evil: &Message) -> String {
    for (mine, theirs) in message.assertion.attributes.iter().zip(&evil.assertion.attributes) {
        for (from, to) in mine.1.iter().zip(&theirs.1) {
            xml = xml.replace(&format!(">{from}</saml:AttributeValue>"), &format!(">{to}</saml:AttributeValue>"));
        }
    }
    xml
}

pub(super) fn without_signatures(mut xml: String) -> String {
    while let (Some(start), Some(end)) = (xml.find("<ds:Signature "), xml.find("</ds:Signature>")) {
        xml.replace_range(start..end + "</ds:Signature>".len(), "");
    }
    xml
}

fn broken(xml: String) -> String {
    let starts: Vec<usize> = xml.match_indices("<ds:SignatureValue>").map(|(at, tag)| at + tag.len() + 30).collect();
    starts.into_iter().fold(xml, |xml, place| another_character(&xml, place))
}

/// The text, with one base64 character changed for another.
pub(super) fn another_character(text: &str, place: usize) -> String {
    let (Some(before), Some(after)) = (text.get(..place), text.get(place + 1..)) else { return text.to_owned() };
    let other = if text.as_bytes().get(place) == Some(&b'A') { 'B' } else { 'A' };
    format!("{before}{other}{after}")
}

fn twice_signed(xml: String) -> String {
    let (Some(start), Some(end)) = (xml.find("<ds:Signature "), xml.find("</ds:Signature>")) else { return xml };
    let end = end + "</ds:Signature>".len();
    format!("{}{}{}", &xml[..end], &xml[start..end], &xml[end..])
}

fn typed(xml: &str, document_type: &str) -> String {
    xml.replacen("<samlp:Response", &format!("{document_type}<samlp:Response"), 1)
}

fn laughter() -> String {
    let mut levels = "<!DOCTYPE samlp:Response [<!ENTITY e0 \"ha\">".to_owned();
    for level in 1..10 {
        let inner = format!("&e{};", level - 1).repeat(10);
        levels.push_str(&format!("<!ENTITY e{level} \"{inner}\">"));
    }
    levels + "]>"
}

/// DEFLATE without a header, as the Redirect binding has it.
pub(super) fn deflate(text: &str) -> Option<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).ok()?;
    encoder.finish().ok()
}
