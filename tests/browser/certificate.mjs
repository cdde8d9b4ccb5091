// A certificate for localhost that nobody vouches for.

import { execFileSync } from "node:child_process";
import { join } from "node:path";

/** Makes it and its key in `folder`; the lines of a `gateway.toml` that name them. */
export function makeCertificate(folder) {
  const [certificate, key] = [join(folder, "crt.pem"), join(folder, "key.pem")];
  const what = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2", "-nodes", "-subj", "/CN=localhost"];
  const names = ["-addext", "subjectAltName=DNS:localhost"];
  execFileSync("openssl", ["req", "-x509", ...what, ...names, "-keyout", key, "-out", certificate], { stdio: "pipe" });
  return `[tls]\ncertificate = "${certificate}"\nprivate_key = "${key}"\n`;
}
