// The front door as it stands in public: https, HTTP/2 and the cookies that only https allows.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout } from "node:timers/promises";

import { makeCertificate } from "./certificate.mjs";
import { launch, inContext } from "./chromium.mjs";
import { appOf, inDemo, refusalCode, shownHeaders } from "./demo.mjs";
import { excuse, inHouse, signIn } from "./house.mjs";
import { people } from "./lookalike.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

/** The look-alike org, and the demo's app behind a gateway that speaks TLS. */
const secured = (name, story) =>
  test(name, () =>
    inDemo(browser, (_page, _context, _home, demo) =>
      inHouse({ tls: makeCertificate, upstream: appOf(demo) }, (house) =>
        inContext(browser, (page, context) => story(page, context, house), { excuse, ignoreHTTPSErrors: true }),
      ),
    ),
  );

secured("over https the cookies are Secure and bound to the host", async (page, context, { home }) => {
  await page.goto(`${home}/wiki?page=7`);
  const attempts = (await context.cookies(home)).filter(({ name }) => name.includes("portcullis"));
  assert.equal(attempts.length, 1);
  assert.match(attempts[0].name, /^__Host-portcullis-attempt-/);
  assert.ok(attempts[0].secure && attempts[0].httpOnly && attempts[0].expires > 0);
  await signIn(page, people.ada);
  await page.waitForURL(`${home}/wiki?page=7`);
  const ours = (await context.cookies(home)).filter(({ name }) => name.includes("portcullis"));
  assert.deepEqual(ours.map(({ name }) => name).sort(), ["__Host-portcullis", "__Host-portcullis-bounce"]);
  for (const { name, secure, httpOnly, sameSite, path, domain } of ours) {
    assert.deepEqual(
      { secure, httpOnly, sameSite, path, domain },
      { secure: true, httpOnly: true, sameSite: "Lax", path: "/", domain: "localhost" },
      name,
    );
  }
  const headers = await shownHeaders(page);
  assert.equal(headers["x-forwarded-proto"], "https");
  assert.doesNotMatch(headers.cookie ?? "", /portcullis/i);
});

secured("pages, streams, uploads and WebSockets pass over HTTP/2 and TLS", async (page, _, { home, gateway }) => {
  await page.goto(`${home}/`);
  await signIn(page, people.ada);
  await page.waitForURL(`${home}/`);
  const protocols = await page.evaluate(() =>
    performance.getEntriesByType("navigation").concat(performance.getEntriesByType("resource")).map((entry) => entry.nextHopProtocol),
  );
  assert.deepEqual([...new Set(protocols)], ["h2"]);
  await page.getByLabel("Say").fill("über TLS");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator("#socket-out").filter({ hasText: "The app says: über TLS" }).waitFor();
  // Chromium opens it on the connection that it has (RFC 8441). The log is written four times a second.
  const connected = / CONNECT localhost:\d+ \/socket 200 pass /;
  for (let tries = 0; tries < 100 && !connected.test(gateway.output); tries += 1) await setTimeout(100);
  assert.match(gateway.output, connected);
  const uploaded = await page.evaluate(async () => {
    const answers = Array.from({ length: 8 }, (_, at) =>
      fetch("/upload", { method: "POST", body: new Uint8Array(400_000 + at) }).then((response) => response.json()),
    );
    return (await Promise.all(answers)).map(({ bytes }) => bytes);
  });
  assert.deepEqual(uploaded, Array.from({ length: 8 }, (_, at) => 400_000 + at));
  const events = await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const source = new EventSource("/events?count=3&ms=50");
        let count = 0;
        source.onmessage = () => ++count === 3 && (source.close(), resolve(count));
        source.onerror = () => reject(new Error("the stream ended early"));
      }),
  );
  assert.equal(events, 3);
});

secured("signing out works over https, and the session is gone", async (page, context, { home }) => {
  await page.goto(`${home}/`);
  await signIn(page, people.ada);
  await page.waitForURL(`${home}/`);
  await page.goto(`${home}/.portcullis/sign-out`);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForURL(`${home}/.portcullis/signed-out`);
  const names = (await context.cookies(home)).map(({ name }) => name);
  assert.ok(!names.includes("__Host-portcullis"), `${names}`);
  await page.goto(`${home}/.portcullis/me`);
  assert.equal(await refusalCode(page), "sign_in_required");
});
