//! The gateway that is measured: the real program, built beside this test, and its configuration.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use portcullis::emulator::Running;
use portcullis::emulator::people::STANDARD;
use portcullis::emulator::saml::HTTP_REDIRECT;

use super::options::{AccessLog, Options, Protocol};
use super::process::command;
use super::stage::Scene;

/// Where cargo has put it.
const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

/// What a gateway is prepared for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Signed-in visitors.
    pub(crate) sessions: usize,
    /// Routes to the same app: one for everything, or that and one for each area.
    pub(crate) routes: usize,
}

/// The gateway's command, with its configuration beside it in `folder`.
pub(crate) fn arrange(scene: &Scene<'_>, size: Size) -> anyhow::Result<Command> {
    arrange_other(PROGRAM.as_ref(), scene, size)
}

/// The same for another build of it, at `program`.
pub(crate) fn arrange_other(program: &Path, scene: &Scene<'_>, size: Size) -> anyhow::Result<Command> {
    let toml = scene.folder.join("gateway.toml");
    fs::write(&toml, gateway_toml(scene, size))?;
    let mut gateway = command(scene.options.proxy_core(), program.as_os_str());
    gateway.arg("run").arg("--config").arg(toml);
    if scene.options.access_log != AccessLog::Off {
        gateway.stdout(File::create(scene.folder.join("access.log"))?);
    }
    Ok(gateway)
}

fn gateway_toml(scene: &Scene<'_>, size: Size) -> String {
    let Scene { options, listen, app, org, folder } = scene;
    let (origin, workers) = (options.origin(), options.workers);
    let log = if options.access_log == AccessLog::Off { "off" } else { "on" };
    let provider = provider_toml(options, org, folder);
    let tls = if options.is_secure() {
        let (certificate, key) = (folder.join("crt.pem"), folder.join("key.pem"));
        format!("[tls]\ncertificate = {certificate:?}\nprivate_key = {key:?}\n")
    } else {
        String::new()
    };
    let capacity = size.sessions.max(100_000) + 1000;
    // A million attempts are remembered for that long, and a million sign-ins may take six minutes.
    let mut toml = format!(
        "public_url = {origin:?}\nlisten = \"{listen}\"\nworkers = {workers}\n{tls}\
         [operator]\nlisten = \"off\"\n[log]\nformat = \"json\"\nlevel = \"error\"\naccess = {log:?}\n\
         [session]\ncapacity = {capacity}\nidle = \"8h\"\nlogin_timeout = \"2m\"\n\
         [limits]\nheader_timeout = \"10m\"\nconnections = 100000\n\
         [provider.salesforce]\n{provider}[[route]]\nname = \"wiki\"\nupstream = \"http://{app}\"\n",
    );
    for area in (0..size.routes).filter(|_| size.routes > 1) {
        toml += &format!("[[route]]\nname = \"area-{area}\"\npath = \"/area-{area}\"\nupstream = \"http://{app}\"\n");
    }
    toml
}

/// Its provider: the pretend org.
fn provider_toml(options: &Options, org: &Running, folder: &Path) -> String {
    let url = org.org_url();
    match options.protocol {
        Protocol::Oidc => {
            let app = org.app();
            format!("org = {url:?}\nclient_id = {:?}\nclient_secret = {:?}\n", app.client_id, app.client_secret)
        }
        Protocol::Saml => format!(
            "protocol = \"saml\"\nissuer = {url:?}\nsso_url = \"{url}{HTTP_REDIRECT}\"\ncertificate = {:?}\n\
             organization = {:?}\n",
            folder.join("org.pem"),
            STANDARD.organization,
        ),
    }
}
