//! Apache with mod_auth_openidc: signs in at the pretend org by itself, sessions in shared memory.

use std::fs;
use std::process::Command;

use super::Scene;

/// As Debian calls it.
pub(super) const PROGRAM: &str = "/usr/sbin/apache2";

/// Where the org sends the browser back to.
pub(super) const CALLBACK: &str = "/openidc/callback";

const MODULES: [&str; 9] = [
    "mpm_event",
    "authn_core",
    "authz_core",
    "authz_user",
    "auth_openidc",
    "proxy",
    "proxy_http",
    "headers",
    "reqtimeout",
];

/// Its configuration and arguments.
pub(super) fn arrange(apache: &mut Command, scene: &Scene<'_>) -> anyhow::Result<()> {
    let file = scene.folder.join("apache.conf");
    fs::write(&file, configuration(scene))?;
    apache.arg("-d").arg(&scene.folder).arg("-f").arg(file).arg("-DFOREGROUND");
    Ok(())
}

fn configuration(scene: &Scene<'_>) -> String {
    let Scene { options, listen, app, org, .. } = scene;
    let (folder, origin) = (scene.folder.display(), options.origin());
    let (url, client) = (org.org_url(), org.app());
    let (mut modules, mut tls) = (MODULES.to_vec(), String::new());
    let log = scene.log().map_or_else(String::new, |file| {
        let combined = r#""%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-agent}i\"""#;
        format!("CustomLog {} {combined}\n", file.display())
    });
    if options.is_secure() {
        modules.extend(["socache_shmcb", "ssl", "http2"]);
        tls = format!(
            "SSLEngine on\nSSLCertificateFile {folder}/crt.pem\nSSLCertificateKeyFile {folder}/key.pem\n\
             Protocols h2 http/1.1\n"
        );
    }
    let modules: String = modules
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    // One process for each worker. With no more threads than connections Apache closes some that are kept alive.
    let (servers, threads) = (options.workers, 2 * options.in_flight().max(64));
    let most = servers * threads;
    let (id, secret) = (client.client_id, client.client_secret);
    format!(
        "{modules}ServerName localhost\nListen {listen}\nPidFile {folder}/apache.pid\nErrorLog {folder}/error.log\n\
         LogLevel error\nServerLimit {servers}\nStartServers {servers}\nThreadLimit {threads}\n\
         ThreadsPerChild {threads}\nMinSpareThreads 1\nMaxSpareThreads {most}\nMaxRequestWorkers {most}\n\
         AsyncRequestWorkerFactor 400\nMaxConnectionsPerChild 0\nKeepAlive On\nKeepAliveTimeout 3600\n\
         MaxKeepAliveRequests 0\n{tls}{log}\
         OIDCProviderMetadataURL {url}/.well-known/openid-configuration\nOIDCClientID {id}\nOIDCClientSecret {secret}\n\
         OIDCProviderTokenEndpointAuth client_secret_post\nOIDCRedirectURI {origin}{CALLBACK}\n\
         OIDCCryptoPassphrase throw-away\nOIDCPKCEMethod S256\nOIDCScope \"openid profile email\"\n\
         OIDCRemoteUserClaim preferred_username\nOIDCCacheType shm\nOIDCCacheShmMax 100000\n\
         OIDCSessionInactivityTimeout 3600\nOIDCPassClaimsAs headers\nOIDCCookieSameSite On\n\
         <Location />\nAuthType openid-connect\nRequire valid-user\n</Location>\n\
         ProxyPass {CALLBACK} !\nProxyPass / http://{app}/ keepalive=On upgrade=websocket\nRequestHeader set X-Forwarded-User \"expr=%{{REMOTE_USER}}\"\n",
    )
}
