//! Everything that stands while something is measured: the pretend org, the app, their certificate, their files.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis::emulator::settings::{App, KeySize};
use portcullis::emulator::{self, Emulator, Running, settings};

use super::generator::Aim;
use super::options::{ORIGINS, Options};
use super::peers;
use super::process::{Server, command, free_address};
use super::program::{self, Size};
use super::walk::Line;

/// Seconds before each measurement.
const WARM_UP: f64 = 0.3;

/// The certificate's file and its key's, in every folder.
const PAIR: [&str; 2] = ["crt.pem", "key.pem"];

/// What stands.
pub(crate) struct Stage<'a> {
    /// Behind all proxies.
    pub(crate) app: Server,
    /// Where people sign in.
    pub(crate) org: &'a Running,
    folder: tempfile::TempDir,
}

/// What a proxy's configuration is made of.
pub(crate) struct Scene<'a> {
    /// As told.
    pub(crate) options: &'a Options,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// What it is for.
    pub(crate) app: SocketAddr,
    /// Where people sign in.
    pub(crate) org: &'a Running,
    /// For its files; certificate and key lie there too.
    pub(crate) folder: PathBuf,
}

/// How a proxy is reached.
#[derive(Clone)]
pub(crate) struct Door {
    address: SocketAddr,
    authority: &'static str,
    certificate: Option<PathBuf>,
}

impl Door {
    /// A new connection.
    pub(crate) async fn open(&self) -> anyhow::Result<Line> {
        Line::open(self.address, self.authority, self.certificate.as_deref()).await
    }
}

/// The pretend org, which knows the gateway and its peers by either of their addresses. Its keys take a while to make:
/// there is one with small keys for nearly all that is measured.
pub(crate) async fn found_org(key_size: KeySize) -> anyhow::Result<Running> {
    let mut callbacks = Vec::new();
    for origin in ORIGINS {
        callbacks.push(format!("{origin}/.portcullis/callback"));
        callbacks.extend(peers::callbacks(origin));
    }
    let app = App {
        approval: settings::Approval::Skipped,
        redirect_uris: callbacks,
        // Envoy looks at an ID token's end with each request, which Salesforce sets after two minutes.
        id_token_validity: Duration::from_secs(2 * 3600),
        ..App::default()
    };
    Ok(Emulator::start(emulator::Settings { app, key_size, ..Default::default() }).await?)
}

impl<'a> Stage<'a> {
    /// The app, and a certificate for whoever speaks TLS.
    pub(crate) fn set(options: &Options, org: &'a Running) -> anyhow::Result<Self> {
        // Of SAML it knows one address at a time.
        let ours = |path: &str| format!("{}/.portcullis/saml/{path}", options.origin());
        org.register_saml(ours("metadata"), ours("acs"));

        let folder = tempfile::tempdir()?;
        // nginx's workers may be another user's.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(folder.path().join(PAIR[0]), pair.cert.pem())?;
        fs::write(folder.path().join(PAIR[1]), pair.signing_key.serialize_pem())?;

        let address = free_address()?;
        let mut app = command(options.rest_core(), std::env::current_exe()?.as_os_str());
        app.args(["app", &address.to_string(), &options.body.to_string()]);
        Ok(Self { app: Server::start(app, address)?, org, folder })
    }

    /// What a proxy called `name` is made of.
    pub(crate) fn scene<'s>(&'s self, options: &'s Options, name: &str) -> anyhow::Result<Scene<'s>> {
        let folder = self.folder.path().join(name.replace(' ', ""));
        fs::create_dir_all(&folder)?;
        for file in PAIR {
            fs::copy(self.folder.path().join(file), folder.join(file))?;
        }
        fs::write(folder.join("org.pem"), self.org.certificate())?;
        Ok(Scene { options, listen: free_address()?, app: self.app.address, org: self.org, folder })
    }

    /// Starts a gateway.
    pub(crate) fn gateway(&self, options: &Options, name: &str, size: Size) -> anyhow::Result<Server> {
        let scene = self.scene(options, name)?;
        Server::start(program::arrange(&scene, size)?, scene.listen)
    }

    /// Starts the one that lies at `program`.
    pub(crate) fn other(&self, program: &Path, options: &Options, name: &str, size: Size) -> anyhow::Result<Server> {
        let scene = self.scene(options, name)?;
        Server::start(program::arrange_other(program, &scene, size)?, scene.listen)
    }

    /// How `server` is reached.
    pub(crate) fn door(&self, options: &Options, server: &Server) -> Door {
        Door { address: server.address, authority: options.authority(), certificate: self.certificate(options) }
    }

    /// Keeps the cookies of visitors for the load generator.
    pub(crate) fn keep(&self, name: &str, cookies: &[String]) -> anyhow::Result<PathBuf> {
        let file = self.folder.path().join(format!("{}.cookies", name.replace(' ', "")));
        fs::write(&file, cookies.join("\n") + "\n")?;
        Ok(file)
    }

    /// What the load generator does at `server` with these visitors.
    pub(crate) fn aim(&self, options: &Options, server: &Server, cookies: &Path) -> Aim {
        Aim {
            target: server.address,
            authority: options.authority().to_owned(),
            certificate: self.certificate(options),
            cookies: cookies.to_owned(),
            sessions: usize::MAX,
            areas: 0,
            connections: options.connections,
            warm_up: if options.smoke { 0.05 } else { WARM_UP },
            seconds: options.seconds(),
            upload: options.upload,
            work: options.work(),
        }
    }

    /// What to trust to reach the proxies, when they are reached by TLS.
    fn certificate(&self, options: &Options) -> Option<PathBuf> {
        options.is_secure().then(|| self.folder.path().join(PAIR[0]))
    }
}
