//! nginx as a reverse proxy with kept-alive connections to the app, and nothing else; or with `auth_request`.
//!
//! Who is asked gets the fields that oauth2-proxy's and Vouch's manuals have nginx send, and over a connection of its
//! own for each question, since both name its address in `proxy_pass` and leave the version of HTTP as it is. With the
//! app nginx keeps its connections in any case, as it does without anybody to ask.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use super::Scene;
use crate::generator::Work;

/// Who is asked about each request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asks {
    /// Plain nginx.
    Nobody,
    /// A small service in Go.
    Oracle(SocketAddr),
    /// The same, over kept-alive connections.
    OracleKept(SocketAddr),
    /// oauth2-proxy, which signs people in as well.
    Oauth2Proxy(SocketAddr),
}

/// Its configuration and arguments.
pub(super) fn arrange(nginx: &mut Command, scene: &Scene<'_>, asks: Asks) -> anyhow::Result<()> {
    let file = scene.folder.join("nginx.conf");
    fs::write(&file, configuration(scene, asks))?;
    nginx.arg("-c").arg(file).arg("-p").arg(&scene.folder).arg("-e").arg(scene.folder.join("error.log"));
    Ok(())
}

fn configuration(scene: &Scene<'_>, asks: Asks) -> String {
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
    let (pool, question, checked) = questions(asks, kept);
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

/// Connections to keep, the location that asks, and what each request goes through.
fn questions(asks: Asks, kept: usize) -> (String, String, &'static str) {
    let ask = |place: &str, whom: &str| {
        format!(
            "location = {place} {{ internal; proxy_pass {whom}; proxy_set_header Host $host; \
             proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-Uri $request_uri; \
             proxy_set_header Content-Length \"\"; proxy_pass_request_body off; "
        )
    };
    let checked = "auth_request /oauth2/auth; auth_request_set $user $upstream_http_x_auth_request_user; \
                   auth_request_set $email $upstream_http_x_auth_request_email; \
                   proxy_set_header X-Forwarded-User $user; proxy_set_header X-Forwarded-Email $email;";
    match asks {
        Asks::Nobody => (String::new(), String::new(), ""),
        Asks::Oracle(address) => {
            (String::new(), format!("{}}}\n", ask("/oauth2/auth", &format!("http://{address}"))), checked)
        }
        Asks::OracleKept(address) => (
            format!("upstream oracle {{ server {address}; keepalive {kept}; keepalive_requests 1000000000; }}\n"),
            format!(
                "{}proxy_http_version 1.1; proxy_set_header Connection \"\"; }}\n",
                ask("/oauth2/auth", "http://oracle")
            ),
            checked,
        ),
        Asks::Oauth2Proxy(address) => (
            String::new(),
            format!(
                "{}}}\nlocation /oauth2/ {{ proxy_pass http://{address}; proxy_set_header Host $host; \
                 proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Auth-Request-Redirect $request_uri; \
                 proxy_buffer_size 16k; proxy_buffers 8 16k; }}\n",
                ask("/oauth2/auth", &format!("http://{address}"))
            ),
            checked,
        ),
    }
}
