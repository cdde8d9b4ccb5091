// HTTP/2 by the book: h2spec, which somebody else wrote, against the real binary over TLS.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import { startApp } from "./app.mjs";
import { makeCertificate } from "./certificate.mjs";
import { freePort, startPortcullis } from "./program.mjs";

const h2spec = process.env.TEST_H2SPEC;
/** As many as version 2.2.1 has, so that fewer do not pass for all. */
const CASES = 145;

test("every case of h2spec passes", { skip: h2spec ? false : "h2spec is built where Go is installed" }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-h2spec-"));
  const [port, app] = await Promise.all([freePort(), startApp()]);
  try {
    const config = join(folder, "gateway.toml");
    writeFileSync(
      config,
      `public_url = "https://localhost:${port}"
listen = "127.0.0.1:${port}"
drain = "2s"
${makeCertificate(folder)}
[operator]
listen = "off"
[provider.nobody]
org = "https://acme.my.salesforce.com"
client_id = "3MVG9nobody.signs.in.here"
[[route]]
upstream = "${app.url}"
public = true
`,
    );
    const gateway = await startPortcullis(["run", "--config", config], (output) => output.includes("listening"));
    try {
      const { stdout } = await promisify(execFile)(h2spec, ["-t", "-k", "-h", "localhost", "-p", `${port}`, "-o", "5"], {
        timeout: 120_000,
      }).catch((problem) => problem);
      assert.match(stdout, new RegExp(`${CASES} tests, ${CASES} passed, 0 skipped, 0 failed`), stdout);
      assert.ok(app.requests.length > 0, "no request reached the app");
    } finally {
      await gateway.stop();
    }
  } finally {
    await app.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
