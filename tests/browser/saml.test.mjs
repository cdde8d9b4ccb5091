// The same story by SAML: the org posts its answer from another site, so cookies and policies are put to the test
// that only a browser can give.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch, openContext } from "./chromium.mjs";
import { ADA, ORGANIZATION, choose, inDemo, refusalCode, shownHeaders } from "./demo.mjs";

const DEEP_LINK = "/wiki/deep/link?page=7&tab=history&who=%C3%A4%20b&tag=1&tag=2";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

const cookieOf = async (context, name) => (await context.cookies()).find((cookie) => cookie.name === name);

/** Goes to `address` and comes back as Ada. */
async function signIn(page, address, protocol) {
  await page.goto(address);
  await goOn(page, address, protocol);
}

/** Presses the button that the post binding has, and signs in. */
async function goOn(page, address, protocol) {
  if (protocol === "saml-post") await page.getByRole("button", { name: "Continue to Salesforce" }).click();
  await choose(page, ADA.username);
  await page.waitForURL(address);
}

for (const protocol of ["saml", "saml-post"]) {
  const story = (name, tell, options) =>
    test(`${protocol}: ${name}`, () => inDemo(browser, tell, { protocol, ...options }));

  story("a deep link leads through sign-in back to that very page", async (page, context, home) => {
    await signIn(page, home + DEEP_LINK, protocol);
    assert.match(await page.locator("h1").textContent(), /You are signed in as Ada Lovell/);
    const headers = await shownHeaders(page);
    assert.equal(headers["x-forwarded-user"], `${ADA.user}@${ORGANIZATION}`);
    assert.equal(headers["x-forwarded-email"], ADA.email);
    assert.equal(headers["x-salesforce-user-type"], "STANDARD");
    assert.doesNotMatch(headers.cookie ?? "", /portcullis/i);
  });

  story("the attempt's cookie comes along with a foreign form, the session's never would", async (page, context, home) => {
    await page.goto(home + DEEP_LINK);
    const attempts = (await context.cookies(home)).filter(({ name }) => name.startsWith("portcullis-attempt-"));
    assert.deepEqual(
      attempts.map(({ sameSite, secure, httpOnly, path }) => ({ sameSite, secure, httpOnly, path })),
      [{ sameSite: "None", secure: true, httpOnly: true, path: "/" }],
    );
    await goOn(page, home + DEEP_LINK, protocol);
    assert.equal((await cookieOf(context, "portcullis")).sameSite, "Lax");
    const left = (await context.cookies(home)).filter(({ name }) => name.startsWith("portcullis-attempt-"));
    assert.deepEqual(left, [], "an attempt's cookie is deleted when the attempt ends");
  });

  story("back, forward and reload do no harm", async (page, _, home) => {
    await signIn(page, home + DEEP_LINK, protocol);
    await page.reload();
    assert.match(await page.locator("h1").textContent(), /You are signed in/);
    await page.goto(`${home}/elsewhere`);
    await page.goBack();
    assert.equal(page.url(), home + DEEP_LINK);
  });

  story("signing out goes on at the org and comes back", async (page, context, home) => {
    await signIn(page, `${home}/`, protocol);
    await page.goto(`${home}/.portcullis/sign-out`);
    await page.getByRole("button", { name: "Sign out" }).click();
    if (protocol === "saml-post") await page.getByRole("button", { name: "Go on signing out" }).click();
    await page.waitForURL(`${home}/.portcullis/signed-out`);
    assert.equal(await page.locator("h1").textContent(), "You are signed out");
    assert.equal(await cookieOf(context, "portcullis"), undefined);
    await page.goto(`${home}/`);
    if (protocol === "saml-post") await page.getByRole("button", { name: "Continue to Salesforce" }).click();
    assert.equal(await page.locator("h1").textContent(), "Sign in to the pretend org", "nobody is signed in there either");
  });

  story("an answer that is posted in another browser signs nobody in", async (page, _, home) => {
    let answer;
    await page.route(`${home}/.portcullis/saml/acs`, (route) => {
      answer = route.request().postData();
      return route.abort();
    });
    await page.goto(home + DEEP_LINK);
    if (protocol === "saml-post") await page.getByRole("button", { name: "Continue to Salesforce" }).click();
    await choose(page, ADA.username).catch(() => {});
    for (let turn = 0; answer === undefined && turn < 100; turn += 1) await page.waitForTimeout(50);
    const other = await openContext(browser);
    try {
      const stranger = await other.context.newPage();
      const fields = [...new URLSearchParams(answer)].map(([name, value]) => `<input name="${name}" value="${value}">`);
      const form = `<form method="post" action="${home}/.portcullis/saml/acs">${fields.join("")}<button>Go</button></form>`;
      await stranger.setContent(form);
      await stranger.getByRole("button").click();
      await stranger.waitForURL(`${home}/.portcullis/saml/acs`);
      assert.equal(await refusalCode(stranger), "attempt_missing");
      assert.equal(await cookieOf(other.context, "portcullis"), undefined);
    } finally {
      await other.context.close();
    }
  }, { excuse: () => true });
}
