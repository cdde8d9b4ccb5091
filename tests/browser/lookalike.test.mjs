// The same sign-in against a provider that we did not write: what is shared between the gateway and the
// pretend org of this repository (a misreading of the standard, say) would not be noticed there, but is here.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import * as chromium from "./chromium.mjs";
import { refusalCode } from "./demo.mjs";
import { excuse, inHouse, signIn } from "./house.mjs";
import { people } from "./lookalike.mjs";

const DEEP_LINK = "/reports/q3%20final?team=%C3%A4&tag=1&tag=2";

let browser;
before(async () => {
  browser = await chromium.launch();
});
after(() => browser?.close());

const inContext = (story) => chromium.inContext(browser, story, { excuse });
const received = async (page) => JSON.parse(await page.locator("#received").textContent());

async function holdsNoSession(context, home) {
  const names = (await context.cookies(home)).map((cookie) => cookie.name);
  assert.ok(!names.includes("portcullis"), `a session was given out: ${names}`);
}

test("a person signs in at somebody else's provider and reaches the page they asked for", async () => {
  await inHouse({}, async ({ home, org, app }) => {
    await inContext(async (page) => {
      await page.goto(home + DEEP_LINK);
      assert.ok(page.url().startsWith(org.issuer), page.url());
      assert.deepEqual(app.requests, [], "nothing reaches the app before the sign-in");
      await signIn(page, people.ada);
      await page.waitForURL(home + DEEP_LINK);
      const { url, headers } = await received(page);
      assert.equal(url, DEEP_LINK);
      const ada = people.ada;
      assert.equal(headers["x-forwarded-user"], `${ada.user_id}@${ada.organization_id}`);
      assert.equal(headers["x-forwarded-email"], ada.email);
      assert.equal(headers["x-forwarded-preferred-username"], ada.preferred_username);
      assert.equal(headers["x-salesforce-user-id"], ada.user_id);
      assert.equal(headers["x-salesforce-organization-id"], ada.organization_id);
      assert.equal(headers["x-salesforce-user-type"], "STANDARD");
      assert.doesNotMatch(headers.cookie ?? "", /portcullis/i);
      assert.equal(headers.authorization, undefined);
      const asked = (what) => org.requests.filter((request) => request === what).length;
      assert.equal(asked("POST /services/oauth2/token"), 1, "a code is exchanged once");
      assert.equal(asked("GET /services/oauth2/userinfo"), 1);
      assert.equal(asked("GET /id/keys"), 1);
    });
  });
});

test("userinfo can be asked by POST", async () => {
  await inHouse({ provider: 'userinfo_method = "post"\n' }, async ({ home, org }) => {
    await inContext(async (page) => {
      await page.goto(home + DEEP_LINK);
      await signIn(page, people.ada);
      await page.waitForURL(home + DEEP_LINK);
      assert.ok(org.requests.includes("POST /services/oauth2/userinfo"));
      assert.ok(!org.requests.includes("GET /services/oauth2/userinfo"));
    });
  });
});

test("a gateway with the wrong client secret lets nobody in and names the setting", async () => {
  await inHouse({ secret: "another-secret-than-the-orgs" }, async ({ home, callback, app, gateway }) => {
    await inContext(async (page, context) => {
      await page.goto(home + DEEP_LINK);
      await signIn(page, people.ada);
      await page.waitForURL((url) => url.href.startsWith(callback));
      assert.equal(await refusalCode(page), "salesforce_invalid_client");
      assert.match(await page.locator("main").textContent(), /secret/i);
      await holdsNoSession(context, home);
      assert.deepEqual(app.requests, []);
      assert.match(gateway.output, /salesforce_invalid_client/);
    });
  });
});

test("somebody of another organization is kept out", async () => {
  await inHouse({}, async ({ home, callback, app }) => {
    await inContext(async (page, context) => {
      await page.goto(home + DEEP_LINK);
      await signIn(page, people.mallory);
      await page.waitForURL((url) => url.href.startsWith(callback));
      assert.equal(await refusalCode(page), "wrong_organization");
      await holdsNoSession(context, home);
      assert.deepEqual(app.requests, []);
    });
  });
});

test("whoever cancels at the provider is told so, and can try again", async () => {
  await inHouse({}, async ({ home, callback, org, app }) => {
    await inContext(async (page, context) => {
      await page.goto(home + DEEP_LINK);
      await page.getByRole("link", { name: "Cancel" }).click();
      await page.waitForURL((url) => url.href.startsWith(callback));
      assert.equal(await refusalCode(page), "salesforce_access_denied");
      await holdsNoSession(context, home);
      assert.deepEqual(app.requests, []);
      await page.locator("main a.button").click();
      assert.ok(page.url().startsWith(org.issuer), page.url());
      await signIn(page, people.ada);
      await page.waitForURL(home + DEEP_LINK);
    });
  });
});

test("a provider that is down is told as such, and nobody comes in", async () => {
  await inHouse({}, async ({ home, callback, org, app }) => {
    await inContext(async (page, context) => {
      await page.goto(home + DEEP_LINK);
      await page.getByPlaceholder("Enter any login").fill(people.ada.sub);
      await page.getByPlaceholder("and password").fill("any");
      await page.getByRole("button", { name: "Sign-in" }).click();
      org.breakDown("/services/oauth2/token");
      await page.getByRole("button", { name: "Continue" }).click();
      await page.waitForURL((url) => url.href.startsWith(callback));
      assert.equal(await refusalCode(page), "provider_unreachable");
      await holdsNoSession(context, home);
      assert.deepEqual(app.requests, []);
    });
  });
});
