//! The checked configuration: one `Settings` for each module, already typed.
//!
//! Only this family knows TOML, environment variables or figment; whoever holds a [`Config`] holds one that
//! was checked as a whole. Made by [`file::load`] and [`file::read`], consumed by `gateway::start`.

mod acme;
mod apps;
mod credential;
pub mod file;
mod front;
mod headers;
mod listen;
mod org;
pub mod problem;
mod provider;
mod providers;
mod reader;
mod routes;
mod saml;
mod source;
mod tls;
mod upstream;
mod value;

use std::net::SocketAddr;

use crate::http::origin::Origin;
use crate::identity::Entry;
use crate::{proxy, route, server, session, telemetry};

pub use problem::{Problem, Problems};

/// Everything that a gateway is told before it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// `public_url` first, then one for each other host that a route names.
    pub origins: Vec<Origin>,
    /// What our cookies demand of the browser's connection.
    pub cookies: session::cookie::Policy,
    /// Where our own addresses are: `/.portcullis`.
    pub prefix: String,
    /// The front door.
    pub server: server::Settings,
    /// Where people are sent from http to https, if anywhere.
    pub redirect: Option<server::Places>,
    /// The operator's listener, unless it is off.
    pub operator: Option<SocketAddr>,
    /// What the operator's listener may be called, beside addresses and `localhost`.
    pub operator_hosts: Vec<String>,
    /// Where people sign in, in the order that they are shown; never empty.
    pub providers: Vec<Entry>,
    /// How long sign-ins last.
    pub session: session::Settings,
    /// What apps are told about people.
    pub headers: proxy::inject::Settings,
    /// What is protected; never empty.
    pub routes: Vec<route::Settings>,
    /// How requests are forwarded.
    pub proxy: proxy::Settings,
    /// What is logged, and how.
    pub log: telemetry::Settings,
    /// The largest body that our own addresses read, in bytes.
    pub login_body: usize,
    /// What an operator should know about this configuration; logged at the start.
    pub notes: Vec<String>,
}

impl Config {
    /// The addresses to enter in Salesforce that sign-ins by a provider come back to, one for each origin.
    pub fn callbacks(&self, provider: &Entry) -> impl Iterator<Item = String> {
        let end = provider.paths().answer;
        self.origins.iter().map(move |origin| format!("{origin}{}{end}", self.prefix))
    }
}
