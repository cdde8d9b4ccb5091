// Signing in by SAML at identity providers that we did not write: what is shared between the gateway and the pretend
// org of this repository (a misreading of the standard, a slip in canonical XML) would not be noticed there, but is
// here. samlp is told the gateway's values by hand; pysaml2 and the gateway read each other's metadata.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createPublicKey } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { startApp } from "./app.mjs";
import * as chromium from "./chromium.mjs";
import { refusalCode } from "./demo.mjs";
import { freePort, startPortcullis } from "./program.mjs";
import { startPysaml2 } from "./pysaml2.mjs";
import { ADA, startSamlp } from "./samlp.mjs";

const DEEP_LINK = "/reports/q3%20final?team=%C3%A4&tag=1&tag=2";
const ORGANIZATION = "00D5g00000ABCDEEA5";
const LOGOUT_BINDINGS = {
  redirect: "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect",
  post: "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
};
const USER = "0055g00000AbCdEAAV";

let browser;
before(async () => {
  browser = await chromium.launch();
});
after(() => browser?.close());

function makeKey(folder, name) {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
  const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", `/CN=throw-away ${name}`];
  execFileSync("openssl", [...request, "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
}

/** Somebody else's identity provider, an app, and the real gateway run from a `gateway.toml`. */
async function inHouse(start, story) {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-saml-"));
  const home = `http://localhost:${await freePort()}`;
  const app = await startApp();
  let org;
  try {
    org = await start(folder, home);
    const config = join(folder, "gateway.toml");
    writeFileSync(
      config,
      `public_url = "${home}"
listen = "127.0.0.1:${new URL(home).port}"
drain = "2s"

[operator]
listen = "off"

[provider.lookalike]
protocol = "saml"
organization = "${ORGANIZATION}"
${org.provider}
[[route]]
upstream = "${app.url}"
`,
    );
    const gateway = await startPortcullis(["run", "--config", config], (output) => output.includes("listening"));
    try {
      await chromium.inContext(browser, (page, context) => story({ page, context, home, org, app, gateway }));
      assert.doesNotMatch(gateway.output, /SAMLResponse|PHNhbWxw|PRIVATE KEY/, "an answer is in the log");
    } catch (problem) {
      console.error(gateway.output);
      throw problem;
    } finally {
      await gateway.stop();
    }
  } finally {
    await Promise.all([org?.stop(), app.stop()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * samlp; `impostor` signs with a key of its own, whose certificate comes along. `cipher` encrypts assertions, `logout`
 * is the binding by which it takes part in single logout.
 */
const samlp = ({ impostor = false, binding = "redirect", sign, cipher, logout } = {}) => async (folder, home) => {
  const own = makeKey(folder, "idp");
  const { cert } = makeKey(folder, "request");
  const org = await startSamlp({
    ...(impostor ? makeKey(folder, "signer") : own),
    sign,
    encryption: cipher && {
      encryptionCert: cert,
      encryptionPublicKey: createPublicKey(cert).export({ type: "spki", format: "pem" }),
      encryptionAlgorithm: cipher,
      disallowEncryptionWithInsecureAlgorithm: false,
      warnOnInsecureEncryptionAlgorithm: false,
    },
    logout: logout && { cert, url: `${home}/.portcullis/saml/logout`, binding: LOGOUT_BINDINGS[logout] },
  });
  const endpoint = binding === "post" ? "HttpPost" : "HttpRedirect";
  const provider = `issuer = "${org.issuer}"
sso_url = "${org.issuer}/idp/endpoint/${endpoint}"
certificate = "idp.crt"
binding = "${binding}"
request_key = { file = "request.key" }
request_certificate = "request.crt"
${logout ? `slo_url = "${org.logout}"` : ""}
`;
  return { ...org, provider };
};

/** pysaml2, which demands signed requests. */
const pysaml2 = ({ impostor = false, cipher } = {}) => async (folder, home) => {
  makeKey(folder, "request");
  const own = makeKey(folder, "idp");
  const { key, cert } = impostor ? makeKey(folder, "signer") : own;
  writeFileSync(join(folder, "signer.key"), key);
  writeFileSync(join(folder, "signer.crt"), cert);
  const org = await startPysaml2(folder, `${home}/.portcullis/saml/metadata`, cipher ? [cipher] : []);
  const provider = `metadata = "idp.xml"
sign_requests = true
request_key = { file = "request.key" }
request_certificate = "request.crt"
`;
  return { ...org, provider };
};

const houses = [
  ["samlp", samlp],
  ["samlp by POST", (options) => samlp({ ...options, binding: "post" })],
  ["samlp that signs the Response alone", (options) => samlp({ ...options, sign: { signAssertion: false, signResponse: true } })],
  ["pysaml2", pysaml2],
];

/** From the deep link to the provider's page, and on from there. */
async function signIn({ page, home, org, app }) {
  await page.goto(home + DEEP_LINK);
  const onward = page.getByRole("button", { name: "Continue to Salesforce" });
  if (page.url().startsWith(home)) await onward.click();
  await page.waitForURL((url) => url.origin === org.issuer);
  assert.deepEqual(app.requests, [], "nothing reaches the app before the sign-in");
  await page.getByRole("button", { name: "Sign in as Ada" }).click();
}

for (const [name, house] of houses) {
  test(`${name}: a person signs in and reaches the page they asked for`, () =>
    inHouse(house(), async (world) => {
      await signIn(world);
      const { page, home } = world;
      await page.waitForURL(home + DEEP_LINK);
      const { url, headers } = JSON.parse(await page.locator("#received").textContent());
      assert.equal(url, DEEP_LINK);
      assert.equal(headers["x-forwarded-user"], `${USER}@${ORGANIZATION}`);
      assert.equal(headers["x-forwarded-email"], ADA.email);
      assert.equal(headers["x-forwarded-preferred-username"], ADA.username);
      assert.equal(headers["x-salesforce-user-id"], USER);
      assert.equal(headers["x-salesforce-organization-id"], ORGANIZATION);
      assert.equal(headers["x-salesforce-user-type"], "STANDARD");
      assert.doesNotMatch(headers.cookie ?? "", /portcullis/i);
    }));

  test(`${name}: what another key signed lets nobody in, whatever certificate comes along`, () =>
    inHouse(house({ impostor: true }), async (world) => {
      await signIn(world);
      const { page, context, home, app, gateway } = world;
      await page.waitForURL(`${home}/.portcullis/saml/acs`);
      assert.equal(await refusalCode(page), "saml_signature_key");
      const names = (await context.cookies(home)).map((cookie) => cookie.name);
      assert.ok(!names.includes("portcullis"), `a session was given out: ${names}`);
      assert.deepEqual(app.requests, []);
      assert.match(gateway.output, /saml_signature_key/);
    }));
}

/** Signs in, and sees that it is Ada who arrives. */
async function signsIn(world) {
  await signIn(world);
  await world.page.waitForURL(world.home + DEEP_LINK);
  const { headers } = JSON.parse(await world.page.locator("#received").textContent());
  assert.equal(headers["x-salesforce-user-id"], USER);
}

const GCM = ["http://www.w3.org/2009/xmlenc11#aes128-gcm", "http://www.w3.org/2009/xmlenc11#aes256-gcm"];
const CBC = "http://www.w3.org/2001/04/xmlenc#aes256-cbc";
const readable = [
  ...GCM.map((cipher) => [`samlp, ${cipher.split("#")[1]}`, samlp({ cipher })]),
  ["samlp, aes256-cbc within a signed Response", samlp({ cipher: CBC, sign: { signAssertion: false, signResponse: true } })],
  ["pysaml2, aes256-cbc within a signed Response", pysaml2({ cipher: "aes256" })],
];
for (const [name, house] of readable) {
  test(`${name}: an encrypted assertion is read with our key`, () => inHouse(house, signsIn));
}

// samlp signs inside only, so nothing vouches for the ciphertext; pysaml2 knows no cipher but 3DES by itself.
const unreadable = [
  ["samlp, aes256-cbc without a signature around it", samlp({ cipher: CBC })],
  ["pysaml2, 3DES", pysaml2({ cipher: "des3" })],
];
for (const [name, house] of unreadable) {
  test(`${name}: what is not decrypted lets nobody in`, () =>
    inHouse(house, async (world) => {
      await signIn(world);
      await world.page.waitForURL(`${world.home}/.portcullis/saml/acs`);
      assert.equal(await refusalCode(world.page), "saml_undecryptable");
      assert.deepEqual(world.app.requests, []);
    }));
}

const logouts = [
  ["samlp", samlp({ logout: "redirect" })],
  ["samlp by POST", samlp({ logout: "post", binding: "post" })],
  ["pysaml2", pysaml2()],
];

/** Presses whatever leads on, until `done`. */
async function goesOn(page, done) {
  for (let steps = 0; steps < 6 && !(await done()); steps += 1) {
    const onward = page.getByRole("button", { name: "Go on signing out" });
    await page.waitForLoadState("networkidle");
    if (await done()) return;
    if (await onward.isVisible()) await onward.click();
  }
}

/** The session has ended, and not only its cookie. */
async function isOutside({ page, context, home, app }, kept) {
  const before = app.requests.length;
  await context.addCookies(kept);
  await page.goto(home + DEEP_LINK);
  assert.equal(app.requests.length, before, "the app saw a request of nobody");
}

for (const [name, house] of logouts) {
  test(`${name}: signing out here signs out there`, () =>
    inHouse(house, async (world) => {
      await signsIn(world);
      const { page, context, home } = world;
      const kept = (await context.cookies(home)).filter((cookie) => cookie.name === "portcullis");
      assert.equal(kept.length, 1);
      await page.goto(`${home}/.portcullis/sign-out`);
      await page.getByRole("button", { name: "Sign out" }).click();
      await goesOn(page, () => page.url() === `${home}/.portcullis/signed-out`);
      assert.equal(page.url(), `${home}/.portcullis/signed-out`);
      assert.doesNotMatch(world.gateway.output, /did not sign somebody out/);
      await isOutside(world, kept);
    }));

  test(`${name}: signing out there signs out here`, () =>
    inHouse(house, async (world) => {
      await signsIn(world);
      const { page, context, home, org, gateway } = world;
      const kept = (await context.cookies(home)).filter((cookie) => cookie.name === "portcullis");
      await page.goto(org.logout);
      const ended = page.getByText("Signed out everywhere");
      await goesOn(page, () => ended.isVisible());
      await ended.waitFor();
      assert.match(gateway.output, /the provider signed somebody out.*sessions=1|sessions=1.*the provider signed/);
      await isOutside(world, kept);
    }));
}
