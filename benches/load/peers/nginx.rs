//! nginx as a reverse proxy with kept-alive connections to the app, and nothing else; or with `auth_request`.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use super::Scene;
use crate::generator::Work;

/// Its configuration and arguments; `oracle` is asked about each request.
pub(super) fn arrange(nginx: &mut Command, scene: &Scene<'_>, oracle: Option<SocketAddr>) -> anyhow::Result<()> {
    let file = scene.folder.join("nginx.conf");
    fs::write(&file, configuration(scene, oracle))?;
    nginx.arg("-c").arg(file).arg("-p").arg(&scene.folder).arg("-e").arg(scene.folder.join("error.log"));
    Ok(())
}

fn configuration(scene: &Scene<'_>, oracle: Option<SocketAddr>) -> String {
    let Scene { options, listen, app, .. } = scene;
    let log = scene.log().map_or_else(|| "off".to_owned(), |file| format!("{} combined", file.display()));
    let (folder, workers) = (scene.folder.display(), options.workers);
    let kept = options.in_flight().max(64);
    // Each costs memory from the start: two for a request, and what is idle.
    let most = (2 * options.in_flight() + options.idle_connections()).max(512) + 512;
    let (kind, tls) = match (options.is_secure(), options.http2) {
        (false, _) => ("", String::new()),
        (true, http2) => (
            if http2 { " ssl http2" } else { " ssl" },
            format!(
                "ssl_certificate {folder}/crt.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.2 TLSv1.3; \
                 ssl_session_tickets on;"
            ),
        ),
    };
    let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .collect();
    let (pool, question, checked) = match oracle {
        None => (String::new(), String::new(), ""),
        Some(oracle) => (
            format!("upstream oracle {{ server {oracle}; keepalive {kept}; keepalive_requests 1000000000; }}\n"),
            "location = /oracle { internal; proxy_pass http://oracle; proxy_http_version 1.1; \
             proxy_set_header Connection \"\"; proxy_pass_request_body off; proxy_set_header Content-Length \"\"; }\n"
                .to_owned(),
            "auth_request /oracle; auth_request_set $visitor $upstream_http_x_auth_request_user; \
             proxy_set_header X-Forwarded-User $visitor;",
        ),
    };
    let (upgrade, connection) = match options.work() {
        Work::Messages(_) => (
            "map $http_upgrade $tunnel { default upgrade; '' ''; }\n",
            "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $tunnel;",
        ),
        _ => ("", "proxy_set_header Connection \"\";"),
    };
    // Bodies of any size, passed on as they come, as the gateway does it.
    let uploads = "client_max_body_size 0; proxy_request_buffering off;";
    format!(
        "daemon off;\nworker_processes {workers};\npid {folder}/nginx.pid;\nerror_log {folder}/error.log error;\n\
         worker_rlimit_nofile 65536;\nevents {{ worker_connections {most}; }}\n\
         http {{\naccess_log {log};\n{scratch}keepalive_timeout 3600s;\nkeepalive_requests 1000000000;\n\
         proxy_max_temp_file_size 0;\n{uploads}\n{upgrade}{pool}\
         upstream app {{ server {app}; keepalive {kept}; keepalive_requests 1000000000; }}\n\
         server {{\nlisten {listen}{kind} reuseport;\n{tls}\n{question}location / {{ {checked} proxy_pass http://app; \
         proxy_http_version 1.1; {connection} }}\n}}\n}}\n"
    )
}
