//! How a world is told what to be, and begun.

use super::*;

impl Builder {
    /// Adds a provider of that name, with these lines beside those that it needs.
    pub fn beside(mut self, name: &'static str, what: Beside, lines: &str) -> Self {
        self.beside.push((name, what, lines.to_owned()));
        self
    }

    /// Adds lines to the top level of the configuration.
    pub fn top(mut self, toml: &str) -> Self {
        self.top.push_str(toml);
        self.top.push('\n');
        self
    }

    /// Adds whole tables.
    pub fn table(mut self, toml: &str) -> Self {
        self.tables.push_str(toml);
        self.tables.push('\n');
        self
    }

    /// Replaces the provider's lines beside address and credentials.
    pub fn provider(mut self, toml: &str) -> Self {
        self.provider = format!("{toml}\n");
        self
    }

    /// Replaces the routes; `{app}` becomes the app's authority.
    pub fn routes(mut self, toml: &str) -> Self {
        self.routes = Some(toml.to_owned());
        self
    }

    /// Changes the org before it starts.
    pub fn org(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.org);
        self
    }

    /// Points the gateway at another of the org's addresses.
    pub fn base(mut self, base: Base) -> Self {
        self.base = base;
        self
    }

    /// Has the org misbehave from before the gateway first asks it.
    pub fn mischief(mut self, mischief: Mischief) -> Self {
        self.mischief = Some(mischief);
        self
    }

    /// Adds a public host beside `localhost`, such as `other.localhost`: its port is the front door's.
    pub fn host(mut self, host: &'static str) -> Self {
        self.hosts.push(host);
        self
    }

    /// `https://localhost`, with a certificate made for this world.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Adds lines to `[tls]`.
    pub fn tls_lines(mut self, toml: &str) -> Self {
        self.tls_lines.push_str(toml);
        self.tls_lines.push('\n');
        self.tls()
    }

    /// One more certificate, in `NAME.crt` and `NAME.key` of the world's folder.
    pub fn certificate(mut self, name: &'static str, hosts: &'static [&'static str]) -> Self {
        self.certificates.push((name, hosts));
        self.tls()
    }

    /// Demands client certificates that this one (PEM) has signed; it lies in `clients.crt`.
    pub fn client_ca(mut self, pem: &str) -> Self {
        self.client_ca = Some(pem.to_owned());
        self.tls()
    }

    /// By SAML instead of OpenID Connect.
    pub fn saml(mut self) -> Self {
        let lines = format!("organization = \"{}\"\n", people::HOME_ORGANIZATION);
        let (binding, source) = (Binding::Redirect, Source::Pinned);
        self.saml = Some(Saml { binding, lines, source, key: false, logout: None });
        self
    }

    fn with_saml(mut self, change: impl FnOnce(&mut Saml)) -> Self {
        if self.saml.is_none() {
            self = self.saml();
        }
        if let Some(saml) = &mut self.saml {
            change(saml);
        }
        self
    }

    /// Adds lines to the provider for SAML.
    pub fn saml_lines(self, toml: &str) -> Self {
        self.with_saml(|saml| saml.lines = format!("{}{toml}\n", saml.lines))
    }

    /// Replaces the organization's line.
    pub fn saml_organization(self, toml: &str) -> Self {
        self.with_saml(|saml| saml.lines = format!("{toml}\n"))
    }

    /// Sends people to the org by another binding.
    pub fn saml_binding(self, binding: Binding) -> Self {
        self.with_saml(|saml| saml.binding = binding)
    }

    /// Takes trust from the org's metadata.
    pub fn saml_metadata(self) -> Self {
        self.with_saml(|saml| saml.source = Source::Metadata)
    }

    /// Gives the gateway a key of its own, whose certificate the org knows.
    pub fn saml_key(self) -> Self {
        self.with_saml(|saml| saml.key = true)
    }

    /// Single logout on both sides; `binding` is how the org sends.
    pub fn saml_logout(self, binding: Binding) -> Self {
        self.with_saml(|saml| (saml.key, saml.logout) = (true, Some(binding)))
    }

    /// Replaces the front door's places, in TOML; `{port}` becomes the public address's.
    pub fn listen(mut self, toml: &str) -> Self {
        self.listen = toml.to_owned();
        self
    }

    /// The lines of `[operator]`; a port is found unless they say where.
    pub fn operator(mut self, toml: &str) -> Self {
        self.operator = toml.to_owned();
        self
    }

    /// So many threads.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    pub async fn start(self) -> World {
        self.try_start().await.expect("the gateway starts")
    }

    /// Starts, or says why the gateway does not.
    pub async fn try_start(self) -> Result<World, String> {
        let org = Emulator::start(self.org.clone()).await.expect("the org starts");
        let app = App::start();
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let scheme = if self.tls { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{port}");
        for host in &self.hosts {
            org.register(format!("{scheme}://{host}:{port}/.portcullis/callback"));
        }
        if let Some(mischief) = self.mischief {
            org.set(mischief);
        }
        let address = match self.base {
            Base::MyDomain => org.org_url(),
            Base::Login => org.login_url(),
            Base::Site => org.site_url(),
        };
        let settings = org.app();
        let routes = self.routes.clone().unwrap_or_else(|| "[[route]]\nupstream = \"http://{app}\"\n".to_owned());
        let (tls_table, tls) = if self.tls { self.make_tls(&directory) } else { (String::new(), None) };
        let secret = if self.provider.contains("client_authentication") {
            String::new()
        } else {
            format!("client_secret = \"{}\"\n", settings.client_secret)
        };
        let provider = match &self.saml {
            None => format!(
                "protocol = \"oidc\"\norg = \"{address}\"\nclient_id = \"{}\"\n{secret}{}",
                settings.client_id, self.provider
            ),
            Some(saml) => saml.provider("salesforce", &org, &url, address, &directory),
        };
        let mut others = Vec::new();
        let mut beside = String::new();
        // Which of the other orgs each provider has, if not the first one's.
        let mut places: Vec<Option<usize>> = vec![None];
        for (name, what, lines) in self.beside {
            let (settings, by_saml) = match what {
                Beside::SameBySaml => (None, Some(Saml::beside(None))),
                Beside::Oidc(settings) => (Some(settings), None),
                Beside::Saml(settings) => (Some(settings), Some(Saml::beside(Some(Binding::Redirect)))),
            };
            places.push(settings.is_some().then_some(others.len()));
            if let Some(settings) = settings {
                others.push(Emulator::start(settings).await.expect("the other org starts"));
            }
            let org = places.last().copied().flatten().map_or(&org, |place| &others[place]);
            let (at, app) = (org.org_url(), org.app());
            let needed = match by_saml {
                Some(saml) => saml.provider(name, org, &url, at, &directory),
                None => format!(
                    "org = \"{at}\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\n",
                    app.client_id, app.client_secret
                ),
            };
            beside.push_str(&format!("[provider.{name}]\n{needed}{lines}\n"));
        }
        let toml = format!(
            "public_url = \"{url}\"\nlisten = {}\nworkers = {}\ndrain = \"2s\"\n{}\n\
             [provider.salesforce]\n{provider}\n{beside}\n\
             [operator]\n{}{}\n[log]\naccess = \"off\"\n{tls_table}\n{}\n{}",
            self.listen.replace("{port}", &port.to_string()),
            self.workers,
            self.top,
            if self.operator.contains("listen") { "" } else { "listen = \"127.0.0.1:0\"\n" },
            self.operator,
            self.tables,
            routes.replace("{app}", &app.authority),
        );
        let config =
            file::read(&toml, "the test's gateway.toml", &[]).unwrap_or_else(|problems| panic!("{problems}\n{toml}"));
        if places.len() > 1 {
            introduce(&config, |index| places[index].map_or(&org, |place| &others[place]));
        }
        let gateway = gateway::start(config).await.map_err(|problem| problem.to_string())?;
        let speaks_saml = self.saml.is_some();
        Ok(World { org, others, app, gateway, url, tls, speaks_saml, directory })
    }
}

/// Tells the org of each provider, by its place, where the gateway wants its answers.
fn introduce<'a>(config: &Config, org: impl Fn(usize) -> &'a emulator::Running) {
    for (index, entry) in config.providers.iter().enumerate() {
        for callback in config.callbacks(entry) {
            match &entry.settings {
                identity::Settings::Oidc(_) => org(index).register(callback),
                identity::Settings::Saml(setup) => org(index).register_saml(setup.entity_id.clone(), callback),
            }
        }
        let logout = entry.paths().logout.map(|path| format!("{}{}{path}", config.origins[0], config.prefix));
        org(index).configure(|app| {
            if let (Some(there), Some(url)) = (&mut app.saml.single_logout, logout) {
                there.url = url;
            }
        });
    }
}

impl Builder {
    fn make_tls(&self, directory: &tempfile::TempDir) -> (String, Option<Arc<rustls::ClientConfig>>) {
        let folder = directory.path();
        let mut roots = rustls::RootCertStore::empty();
        let mut pair = |name: &str, hosts: &[&str]| {
            roots.add(write_pair(folder, name, hosts)).unwrap();
            let path = |end| folder.join(format!("{name}.{end}")).display().to_string();
            format!("certificate = {:?}\nprivate_key = {:?}\n", path("crt"), path("key"))
        };
        let mut table = format!("[tls]\n{}", pair("main", &["localhost"]));
        table.push_str(&self.tls_lines.replace("{folder}", &folder.display().to_string()));
        if let Some(pem) = &self.client_ca {
            let file = folder.join("clients.crt");
            std::fs::write(&file, pem).unwrap();
            table.push_str(&format!("client_ca = {:?}\n", file.display().to_string()));
        }
        for (name, hosts) in &self.certificates {
            table.push_str(&format!("[[tls.more]]\n{}", pair(name, hosts)));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (table, Some(Arc::new(client)))
    }
}
