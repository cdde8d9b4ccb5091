// A house whose org we did not write: the look-alike, an app, and the real gateway run from a `gateway.toml`.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startApp } from "./app.mjs";
import { inContext } from "./chromium.mjs";
import { ORGANIZATION, people, startLookalike } from "./lookalike.mjs";
import { freePort, startPortcullis } from "./program.mjs";

const CLIENT_ID = "3MVG9lookalike.of.a.consumer.key";
const CLIENT_SECRET = "the-consumer-secret-of-the-look-alike";

/**
 * Runs `story` in such a house. `secret` is what the gateway believes the client secret to be, `provider` holds
 * more lines for its provider, `tls(folder)` makes a certificate and its key, `upstream` replaces the app, `routes` is
 * what follows its route.
 */
export async function inHouse({ secret = CLIENT_SECRET, provider = "", tls, upstream, routes = "" }, story) {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-house-"));
  const port = await freePort();
  const home = `${tls ? "https" : "http"}://localhost:${port}`;
  const callback = `${home}/.portcullis/callback`;
  const [org, app] = await Promise.all([
    startLookalike({ clientId: CLIENT_ID, clientSecret: CLIENT_SECRET, callback }),
    startApp(),
  ]);
  try {
    const config = join(folder, "gateway.toml");
    writeFileSync(
      config,
      `public_url = "${home}"
listen = "127.0.0.1:${port}"
drain = "2s"

${tls ? tls(folder) : ""}
[operator]
listen = "off"

[provider.lookalike]
org = "${org.issuer}"
client_id = "${CLIENT_ID}"
client_secret = "${secret}"
organizations = ["${ORGANIZATION}"]
${provider}
[[route]]
upstream = "${upstream ?? app.url}"
${routes}
`,
    );
    const gateway = await startPortcullis(["run", "--config", config], (output) => output.includes("listening"));
    try {
      await story({ home, callback, org, app, gateway, folder });
      // Whatever happened, it is told without secrets.
      assert.ok(!gateway.output.includes(secret), "the client secret is in the log");
      assert.doesNotMatch(gateway.output, /[?&]code=|eyJ[A-Za-z0-9_-]{20,}/);
    } catch (problem) {
      console.error(gateway.output);
      throw problem;
    } finally {
      await gateway.stop();
    }
  } finally {
    await Promise.all([org.stop(), app.stop()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The provider's own pages ask for a font from elsewhere, in vain. */
export const excuse = (complaint) => complaint.startsWith("https://fonts.googleapis.com/");

/** Through the provider's own pages. */
export async function signIn(page, person) {
  await page.getByPlaceholder("Enter any login").fill(person.sub);
  await page.getByPlaceholder("and password").fill("any");
  await page.getByRole("button", { name: "Sign-in" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
}

/** Runs `story(home, fields, all)` in such a house: `fields` are what Ada's browser sends once she is signed in. */
export const signedIn = (browser, house, story) =>
  inHouse(house, (all) =>
    inContext(
      browser,
      async (page, context) => {
        const { home } = all;
        await page.goto(`${home}/`);
        await signIn(page, people.ada);
        await page.waitForURL(`${home}/`);
        const cookie = (await context.cookies(home)).map(({ name, value }) => `${name}=${value}`).join("; ");
        await story(home, { cookie, origin: home }, all);
      },
      { excuse, ignoreHTTPSErrors: true },
    ),
  );
