//! `gateway.toml` and the environment, read into a [`Config`] or into everything that is wrong with them.
//!
//! One key, one place in the file, one variable: `session.idle` is `PORTCULLIS_SESSION__IDLE`. Called by
//! `cli` and by every test that starts a gateway.

use std::path::Path;

use super::problem::{Place, Problem, Problems};
use super::reader::Reader;
use super::source::{PREFIX, Sources};
use super::{Config, acme, front, headers, providers, routes, tls, upstream};
use crate::proxy;

/// Reads the file at `path` and the process's environment.
///
/// # Errors
/// Everything that is wrong, all at once.
pub fn load(path: &Path) -> Result<Config, Problems> {
    let name = path.display().to_string();
    let alone = |place, wrong: String, instead: &str| {
        Problems(vec![Problem { place, key: String::new(), wrong, instead: instead.to_owned() }])
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        let instead = "name the file with --config; the reference with every key is gateway.toml of the source";
        alone(Place::File(name.clone()), format!("cannot be read: {error}"), instead)
    })?;
    let mut environment = Vec::new();
    for (variable, value) in std::env::vars_os() {
        let Ok(variable) = variable.into_string() else { continue };
        match value.into_string() {
            Ok(value) => environment.push((variable, value)),
            Err(_) if variable.starts_with(PREFIX) => {
                return Err(alone(Place::Environment(variable), "is not UTF-8".to_owned(), "write it as UTF-8"));
            }
            Err(_) => {}
        }
    }
    read(&text, &name, &environment)
}

/// Reads `text`, which complaints call `origin_name` and whose directory relative paths begin at, under
/// `environment` (all of it: `{ env = "NAME" }` may name any variable).
///
/// # Errors
/// Everything that is wrong, all at once.
pub fn read(text: &str, origin_name: &str, environment: &[(String, String)]) -> Result<Config, Problems> {
    let (sources, root) = Sources::new(text, origin_name, environment).map_err(Problems)?;
    let reader = Reader::new(sources, root);
    let config = sections(&reader);
    let problems = reader.problems();
    match config {
        Some(config) if problems.0.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

fn sections(reader: &Reader) -> Option<Config> {
    let root = reader.root();
    let mut notes = Vec::new();
    let limits = front::limits(&root);
    let front = front::read(&root, &mut notes);
    let providers = providers::read(&root, &front);
    let session = routes::session(&root);
    let headers = headers::read(&root);
    let upstream = upstream::read(&root);
    let log = front::log(&root);
    let routes = routes::read(&root, &front, upstream.as_ref(), &mut notes);
    root.finish();
    let (limits, login_body) = limits?;
    let (mut server, routes) = (front.server(limits)?, routes?);
    if let Some(settings) = &mut server.tls {
        acme::complete(&root, settings, &routes.origins)?;
        let redirect = front.redirect.as_ref().and_then(Option::as_ref);
        acme::notes(settings, &server.listen, redirect, &mut notes);
        tls::notes(settings, &routes.origins, &mut notes);
    }
    Some(Config {
        origins: routes.origins,
        cookies: front::cookies(&front.public?),
        prefix: front.prefix?,
        server,
        redirect: front.redirect?,
        operator: front.operator?,
        operator_hosts: front.operator_hosts?,
        providers: providers?,
        session: session?,
        headers: headers?,
        routes: routes.routes,
        proxy: proxy::Settings { trusted_proxies: front.trusted_proxies?, apps: routes.apps },
        log: log?,
        login_body,
        notes,
    })
}

#[cfg(test)]
mod tests;
