// Two ways to sign in at one demo: the page on which people choose, and both ways from there.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { checkAccessibility } from "./accessibility.mjs";
import { launch, photograph } from "./chromium.mjs";
import { ADA, ORGANIZATION, allow, choose, deny, inDemo, refusalCode, shownHeaders } from "./demo.mjs";

const DEEP_LINK = "/wiki/deep/link?page=7&tab=history&who=%C3%A4%20b&tag=1&tag=2";
const OIDC = "Pretend org, by OpenID Connect";
const SAML = "Pretend org, by SAML";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

const story = (name, tell) => test(name, () => inDemo(browser, tell, { protocol: "both" }));
const way = (page, title) => page.getByRole("link", { name: title });
const cookieOf = async (context, name) => (await context.cookies()).find((cookie) => cookie.name === name);

story("the choice is a page for everybody", async (page, context, home) => {
  const response = await page.goto(home + DEEP_LINK);
  assert.equal(response.status(), 200);
  assert.equal(new URL(page.url()).pathname, "/.portcullis/start");
  assert.equal(await page.locator("h1").textContent(), "Sign in");
  assert.deepEqual(await page.locator(".way .name").allTextContents(), [OIDC, SAML]);
  const headers = response.headers();
  assert.match(headers["content-security-policy"], /default-src 'none'/);
  assert.match(headers["content-security-policy"], /frame-ancestors 'none'/);
  assert.equal(headers["cache-control"], "no-store");
  assert.deepEqual(await context.cookies(), [], "nothing has begun");
  await photograph(page, "choice");
  await checkAccessibility(page, "choice");
});

story("a keyboard is enough", async (page, _, home) => {
  await page.goto(home + DEEP_LINK);
  for (const title of [OIDC, SAML]) {
    await page.keyboard.press("Tab");
    assert.ok((await page.evaluate(() => document.activeElement.textContent)).includes(title), title);
  }
  await page.keyboard.press("Enter");
  await choose(page, ADA.username);
  await page.waitForURL(home + DEEP_LINK);
});

story("both ways lead the same person to the very page", async (page, context, home) => {
  for (const [title, provider] of [[OIDC, "oidc"], [SAML, "saml"]]) {
    await context.clearCookies();
    await page.goto(home + DEEP_LINK);
    await way(page, title).click();
    await choose(page, ADA.username);
    if (provider === "oidc") await allow(page);
    await page.waitForURL(home + DEEP_LINK);
    assert.match(await page.locator("h1").textContent(), /You are signed in as Ada Lovell/);
    assert.equal((await shownHeaders(page))["x-forwarded-user"], `${ADA.user}@${ORGANIZATION}`);
    assert.equal((await cookieOf(context, "portcullis")).sameSite, "Lax");
    await page.goto(`${home}/.portcullis/me`);
    assert.ok((await page.locator("dt:text-is('Signed in by') + dd").textContent()).includes(title));
  }
});

story("two tabs may choose differently", async (page, context, home) => {
  await page.goto(`${home}/one`);
  const other = await context.newPage();
  await other.goto(`${home}/two`);
  await way(page, OIDC).click();
  await way(other, SAML).click();
  await choose(page, ADA.username);
  await allow(page);
  await page.waitForURL(`${home}/one`);
  await choose(other, ADA.username);
  await other.waitForURL(`${home}/two`);
});

story("the wrong account leads out of the loop to another", async (page, context, home) => {
  await page.goto(home + DEEP_LINK);
  await way(page, SAML).click();
  await choose(page, "pat.ortner@partner.example");
  assert.equal(await refusalCode(page), "user_type_not_allowed");
  await page.getByRole("link", { name: "Sign in as somebody else" }).click();
  await choose(page, ADA.username);
  await page.waitForURL(home + DEEP_LINK);
  assert.match(await page.locator("h1").textContent(), /You are signed in as Ada Lovell/);
});

story("whoever is declined may try there again, or another way", async (page, _, home) => {
  await page.goto(home + DEEP_LINK);
  await way(page, OIDC).click();
  await choose(page, ADA.username);
  await deny(page);
  assert.equal(await refusalCode(page), "salesforce_access_denied");
  await photograph(page, "refusal-among-several");
  await checkAccessibility(page, "refusal-among-several");
  await page.getByRole("link", { name: "Sign in another way" }).click();
  assert.equal(await page.locator("h1").textContent(), "Sign in");
  await way(page, SAML).click();
  await page.waitForURL(home + DEEP_LINK);
});
