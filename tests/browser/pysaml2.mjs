// Another identity provider that we did not write: pysaml2, in the environment that tests/saml/interop.sh makes.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const python = fileURLToPath(new URL("../../target/saml-interop/bin/python", import.meta.url));
const script = fileURLToPath(new URL("../saml/pysaml2_idp.py", import.meta.url));

/** Starts it with the keys in `folder`, for the service provider whose metadata is at `metadata`. */
export async function startPysaml2(folder, metadata, cipher = []) {
  const command = ["-B", "-W", "ignore", script, folder, metadata, ...cipher];
  const child = spawn(python, command, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "close");
  const [issuer] = await Promise.race([
    once(child.stdout.setEncoding("utf8"), "data"),
    ended.then(() => {
      throw new Error("pysaml2 did not start: run `bash tests/saml/interop.sh` once, it installs it");
    }),
  ]);
  return {
    issuer: issuer.trim(),
    logout: `${issuer.trim()}/services/auth/idp/saml2/logout`,
    async stop() {
      child.stdin.end();
      await ended;
    },
  };
}
