//! The gateway's SAML verifier as a program, for comparing it with other people's: `tests/saml/interop.py` speaks JSON
//! with it. Reads a list of questions from standard input, writes the list of answers.

use std::error::Error;
use std::io::{Read, Write};
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use portcullis::clock::Timestamp;
use portcullis::identity::saml::{
    Asked, Binding, Organization, OurKey, Reauthentication, Requests, Settings, Unsolicited, consume,
};
use portcullis::identity::xmldsig::{
    Certificate, Inclusive, Kind, Sha1, Shape, SigningKey, Trust, canonicalize, parse, sign_enveloped, verify,
};
use portcullis::identity::{OrgId, ProviderName};
use serde_json::{Value, json};

type Answer = Result<Value, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    let questions: Vec<Value> = serde_json::from_str(&input)?;
    let answers: Vec<Value> = questions
        .iter()
        .map(|question| answer(question).unwrap_or_else(|error| json!({"error": error.to_string()})))
        .collect();
    std::io::stdout().write_all(serde_json::to_string(&answers)?.as_bytes())?;
    Ok(())
}

fn answer(question: &Value) -> Answer {
    let text = |name: &str| question[name].as_str().ok_or_else(|| format!("no {name}"));
    match text("do")? {
        "canonicalize" => {
            let tree = parse(text("xml")?, Kind::Message)?;
            let place = question["element"].as_u64().ok_or("no element")?;
            let mut elements = tree.descendants().filter(|node| node.is_element());
            let apex = elements.nth(usize::try_from(place)?).ok_or("no such element")?;
            Ok(canonicalize(apex, None, &Inclusive::parse(text("prefixes")?)).into())
        }
        "sign" => {
            let key = SigningKey::from_pem(text("key")?)?;
            let shape = Shape { prefixes: text("prefixes")?, ..Shape::default() };
            Ok(sign_enveloped(text("xml")?, text("id")?, &key, &shape)?.into())
        }
        // Whether the element of that ID has a good signature.
        "verify" => {
            let tree = parse(text("xml")?, Kind::Message)?;
            let id = text("id")?;
            let element = tree.descendants().find(|node| node.attribute("ID") == Some(id)).ok_or("no such element")?;
            let certificates = Certificate::from_pem(text("certificates")?)?;
            let trust = Trust { certificates: &certificates, sha1: Sha1::Refused };
            Ok(verify(element, &trust)?.is_some().into())
        }
        "consume" => {
            let now = Timestamp(question["now"].as_u64().ok_or("no now")?);
            let settings = settings(question)?;
            let asked = Asked { id: text("asked")?, at: now };
            let message = STANDARD.encode(text("xml")?);
            let consumed = consume(&message, None, Some(asked), text("acs")?, now, &settings)?;
            Ok(json!({"user": consumed.identity.user, "name_id": consumed.name_id.value}))
        }
        other => Err(format!("cannot {other}").into()),
    }
}

fn settings(question: &Value) -> Result<Settings, Box<dyn Error>> {
    let text = |name: &str| question[name].as_str().ok_or_else(|| format!("no {name}"));
    Ok(Settings {
        name: ProviderName("salesforce".to_owned()),
        issuer: text("issuer")?.to_owned(),
        sso_url: "https://idp.example/".parse()?,
        binding: Binding::Redirect,
        sign_out: None,
        certificates: Certificate::from_pem(text("certificates")?)?,
        entity_id: text("audience")?.to_owned(),
        key: Some(OurKey::from_pem(text("key")?, text("certificate")?)?.into()),
        requests: Requests::Unsigned,
        reauthentication: Reauthentication::Unneeded,
        unsolicited: Unsolicited::Refused,
        organization: Organization::Known(OrgId::parse("00D5g00000ABCDE")?),
        clock_skew: Duration::from_secs(60),
        sha1: if question["sha1"] == true { Sha1::DangerouslyBelieved } else { Sha1::Refused },
    })
}
