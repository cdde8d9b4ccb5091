//! Secrets as the configuration writes them: the value, `{ file = ... }` or `{ env = ... }`.
//!
//! Nothing here puts a secret, or what might be one in the wrong place, into a complaint. Called by
//! `config::provider`.

use figment::value::{Dict, Value};
use zeroize::Zeroizing;

use super::problem::Wrong;
use super::reader::Table;
use super::source::Sources;
use crate::secret::Secret;

/// Larger than any key; a file beyond it is not a secret.
const MAX_FILE: u64 = 64 * 1024;
const FORMS: &str = "write the text in quotes, { file = \"/run/secrets/name\" } or { env = \"NAME\" }";

/// What a secret may look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One word: what Salesforce shows as consumer secret.
    Word,
    /// A PEM file's text.
    Pem,
}

/// The secret at `key`, when one was written and can be had.
pub(super) fn secret(table: &Table<'_>, key: &str, shape: Shape) -> Option<Secret<String>> {
    let value = table.ask(key, None)?;
    let secret = read(&table.reader.sources, value).and_then(|secret| check(secret, shape));
    secret.map_err(|wrong| table.complain(key, wrong.what, wrong.instead)).ok()
}

fn read(sources: &Sources, value: &Value) -> Result<Secret<String>, Wrong> {
    match value {
        Value::String(_, text) => Ok(Secret::new(text.clone())),
        Value::Dict(_, table) => from_table(sources, table),
        _ => Err(Wrong::new("is not text", FORMS)),
    }
}

fn from_table(sources: &Sources, table: &Dict) -> Result<Secret<String>, Wrong> {
    let mut entries = table.iter();
    match (entries.next(), entries.next()) {
        (Some((kind, Value::String(_, path))), None) if kind == "file" => from_file(sources, path),
        (Some((kind, Value::String(_, name))), None) if kind == "env" => from_environment(sources, name),
        (Some(_), Some(_)) if table.contains_key("file") && table.contains_key("env") => {
            Err(Wrong::new("names both a file and a variable", "keep one of file and env"))
        }
        _ => Err(Wrong::new("is neither a file nor a variable", FORMS)),
    }
}

fn from_file(sources: &Sources, path: &str) -> Result<Secret<String>, Wrong> {
    let path = sources.resolve(path);
    let wrong = |what: &str| {
        Wrong::new(format!("the file {} {what}", path.display()), "name a file that holds nothing but the secret")
    };
    let unreadable = |error: std::io::Error| wrong(&format!("cannot be read: {error}"));
    let about = std::fs::metadata(&path).map_err(unreadable)?;
    if about.is_dir() {
        return Err(wrong("is a directory"));
    }
    if about.len() > MAX_FILE {
        return Err(wrong("is too large to be a secret"));
    }
    let bytes = Zeroizing::new(std::fs::read(&path).map_err(unreadable)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not text"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err(wrong("is empty")) } else { Ok(Secret::new(text.to_owned())) }
}

fn from_environment(sources: &Sources, name: &str) -> Result<Secret<String>, Wrong> {
    // Somebody may have written the secret itself where its variable's name belongs.
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let shown = if name.len() <= 64 && name.chars().all(is_name) { format!(" {name}") } else { String::new() };
    let instead = "set it where the gateway is started, or name another";
    match sources.variable(name) {
        None => Err(Wrong::new(format!("the environment variable{shown} is not set"), instead)),
        Some("") => Err(Wrong::new(format!("the environment variable{shown} is empty"), instead)),
        Some(value) => Ok(Secret::new(value.to_owned())),
    }
}

fn check(secret: Secret<String>, shape: Shape) -> Result<Secret<String>, Wrong> {
    let text = secret.expose();
    if text.is_empty() {
        return Err(Wrong::new("is empty", FORMS));
    }
    let wrong = match shape {
        Shape::Word => text.contains(|c: char| c.is_whitespace() || c.is_control()).then(|| {
            Wrong::new("contains white space or a line break", "copy the consumer secret again, nothing around it")
        }),
        Shape::Pem if text.contains("ENCRYPTED") => {
            Some(Wrong::new("is encrypted with a pass phrase", "decrypt it: openssl pkey -in key.pem -out plain.pem"))
        }
        Shape::Pem => jsonwebtoken::EncodingKey::from_rsa_pem(text.as_bytes())
            .is_err()
            .then(|| Wrong::new("is not an RSA private key in PEM", "it begins with -----BEGIN PRIVATE KEY-----")),
    };
    wrong.map_or(Ok(secret), Err)
}
