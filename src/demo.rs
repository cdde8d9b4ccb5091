//! Everything that `portcullis demo` shows: a pretend org, a sample app, and a real gateway between them.
//!
//! The gateway is started as any other, from the TOML that a user would write; only the org is not real. Its
//! host is 127.0.0.1 and the gateway's is localhost, so that browsers keep their cookies apart. Called by `cli`.

pub mod app;
mod saml;

use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use crate::config::{self, Problems};
use crate::emulator::people::{HOME_ORGANIZATION, PASSWORD};
use crate::emulator::saml::app::Binding;
use crate::emulator::{self, Emulator};
use crate::gateway::{self, StartProblem};
use crate::identity;
use crate::server;
use app::App;

/// What the gateway's configuration is called where it complains about it.
const ORIGIN: &str = "the demo's configuration";

/// How many ports are tried where any will do.
const TRIES: u32 = 8;

/// What can be chosen.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The gateway's port; 0 for any free one.
    pub port: u16,
    /// How the gateway and the org speak.
    pub protocol: Protocol,
    /// The pretend org.
    pub org: emulator::Settings,
}

/// How people are signed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// By either of the first two of these, as they choose.
    #[default]
    Both,
    /// By OpenID Connect.
    Oidc,
    /// By SAML, with the org as identity provider.
    Saml,
    /// The same with messages in forms, where a button takes the place of the redirect.
    SamlPost,
}

/// Why there is no demonstration.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The port is taken, or none is to be had.
    #[error("cannot listen on port {port} of this machine: {cause}")]
    Port {
        /// Which.
        port: u16,
        /// Why.
        cause: io::Error,
    },
    /// The pretend org does not start.
    #[error("the pretend org does not start: {0}")]
    Org(io::Error),
    /// The sample app does not start.
    #[error("the sample app does not start: {0}")]
    App(io::Error),
    /// The configuration that we wrote is refused.
    #[error("{0}")]
    Config(Problems),
    /// The gateway does not start.
    #[error(transparent)]
    Gateway(#[from] StartProblem),
}

/// A demonstration at work.
pub struct Demo {
    /// Where to go: the gateway's public address.
    pub address: String,
    /// The gateway's configuration, as a user would write it.
    pub toml: String,
    /// The pretend org.
    pub org: emulator::Running,
    /// The sample app.
    pub app: app::Running,
    gateway: gateway::Running,
}

impl Demo {
    /// Starts all three.
    ///
    /// # Errors
    /// [`Problem`] says which of them does not start, and why.
    pub async fn start(settings: Settings) -> Result<Self, Problem> {
        let app = App::start().await.map_err(Problem::App)?;
        let org = Emulator::start(settings.org).await.map_err(Problem::Org)?;
        let mut tries = 0;
        loop {
            match Self::open(settings.port, settings.protocol, &org, &app).await {
                // Somebody took the port that was free a moment ago: another one will do where any would.
                Err(Problem::Gateway(StartProblem::Listen(taken)))
                    if settings.port == 0 && tries < TRIES && taken.cause.kind() == io::ErrorKind::AddrInUse =>
                {
                    tries += 1;
                }
                Err(problem) => return Err(problem),
                Ok((address, toml, gateway)) => return Ok(Self { address, toml, org, app, gateway }),
            }
        }
    }

    /// The gateway, its address and its configuration; the org knows where it sends people back to.
    async fn open(
        port: u16,
        protocol: Protocol,
        org: &emulator::Running,
        app: &app::Running,
    ) -> Result<(String, String, gateway::Running), Problem> {
        let port = free_port(port).map_err(|cause| Problem::Port { port, cause })?;
        let address = format!("http://localhost:{port}");
        let toml = configuration(&address, port, protocol, org, app).map_err(Problem::Org)?;
        let config = config::file::read(&toml, ORIGIN, &[]).map_err(Problem::Config)?;
        for provider in &config.providers {
            for callback in config.callbacks(provider) {
                match &provider.settings {
                    identity::Settings::Oidc(_) => org.register(callback),
                    identity::Settings::Saml(setup) => org.register_saml(setup.entity_id.clone(), callback),
                }
            }
        }
        let gateway = gateway::start(config).await?;
        Ok((address, toml, gateway))
    }

    /// What to tell whoever started it.
    pub fn words(&self) -> String {
        let people: String = self.org.people().iter().fold(String::new(), |mut list, person| {
            // writing to a String cannot fail
            _ = writeln!(list, "      {:<16} {:<31} {}", person.name(), person.username, person.part);
            list
        });
        let metrics = match self.gateway.operator_address {
            Some(operator) => format!("      metrics    http://{operator}/metrics\n"),
            None => String::new(),
        };
        format!(
            "\nPortcullis demo: a pretend Salesforce org, a sample app, and a real gateway between them.\n\n\
             \x20   Open         {address}/\n\n\
             \x20   Sign in by choosing one of these people (everybody's password is `{PASSWORD}`):\n\
             {people}\n\
             \x20   Behind it:\n\
             \x20     org        {org}   (sign out there too, to become somebody else)\n\
             \x20     app        {app}   (past the gateway: nobody is signed in there)\n\
             {metrics}\n\
             \x20   Stop with Ctrl-C.\n",
            address = self.address,
            org = self.org.org_url(),
            app = self.app.url(),
        )
    }

    /// Stops all three, the gateway first.
    pub async fn shutdown(self) {
        self.gateway.shutdown().await;
        self.org.shutdown().await;
        self.app.shutdown().await;
    }
}

/// The gateway's configuration: what a user writes for a real org, with other addresses.
fn configuration(
    address: &str,
    port: u16,
    protocol: Protocol,
    org: &emulator::Running,
    app: &app::Running,
) -> io::Result<String> {
    let registered = org.app();
    let oidc = format!(
        "org = \"{}\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\norganizations = [\"{HOME_ORGANIZATION}\"]\n",
        org.org_url(),
        registered.client_id,
        registered.client_secret,
    );
    let alone = |lines: &str| format!("[provider.salesforce]\n{lines}");
    let providers = match protocol {
        Protocol::Both => format!(
            "[provider.oidc]\ntitle = \"Pretend org, by OpenID Connect\"\n{oidc}\n\
             [provider.saml]\ntitle = \"Pretend org, by SAML\"\n{}",
            saml::provide(address, Binding::Redirect, org)?
        ),
        Protocol::Oidc => alone(&oidc),
        Protocol::Saml => alone(&saml::provide(address, Binding::Redirect, org)?),
        Protocol::SamlPost => alone(&saml::provide(address, Binding::Post, org)?),
    };
    Ok(format!(
        "# What `portcullis demo` runs the gateway with.\n\
         public_url = \"{address}\"\n\
         listen = \"127.0.0.1:{port}\"\n\
         drain = \"2s\"\n\n\
         {providers}\n\
         [headers.custom]\n\
         X-Person-Name = \"name\"\n\n\
         [operator]\n\
         listen = \"127.0.0.1:0\"\n\n\
         [[route]]\n\
         name = \"sample-app\"\n\
         upstream = \"{app}\"\n",
        app = app.url(),
    ))
}

/// A port that is free now. The gateway's public address names it, so it must be known before the gateway binds.
fn free_port(port: u16) -> io::Result<u16> {
    let listeners = server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), 1)?;
    let listener = listeners.first().ok_or_else(|| io::Error::other("no listener was made"))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests;
