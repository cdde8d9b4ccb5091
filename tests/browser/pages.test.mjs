// Every page that people meet: pictures of it in light and dark, narrow and wide (in screenshots/, for eyes),
// and what each must offer to a keyboard, a screen reader and a telephone.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { checkAccessibility } from "./accessibility.mjs";
import { launch, photograph } from "./chromium.mjs";
import { ADA, allow, choose, deny, inDemo, refusalCode, signIn } from "./demo.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

async function look(page, name) {
  await photograph(page, name);
  await checkAccessibility(page, name);
}

const pictured = (name, reach, options) =>
  test(name, () => inDemo(browser, async (page, context, home) => {
    await reach(page, home, context);
    await look(page, name);
  }, options));

/** A page of ours that declines with this code. */
const declined = (code, status, reach, options) =>
  pictured(`refusal-${code}`, async (page, home, context) => {
    const response = await reach(page, home, context);
    assert.equal(await refusalCode(page), code);
    const text = await page.locator("main").textContent();
    for (const part of ["What you can do", "For your administrator", "Request"]) assert.ok(text.includes(part), part);
    if (response) {
      assert.equal(response.status(), status);
      const headers = response.headers();
      assert.match(headers["content-security-policy"], /default-src 'none'/);
      assert.match(headers["content-security-policy"], /frame-ancestors 'none'/);
      assert.equal(headers["cache-control"], "no-store");
      assert.equal(headers["x-content-type-options"], "nosniff");
    }
  }, options);

pictured("org-sign-in", (page, home) => page.goto(`${home}/`));

pictured("org-sign-in-sorry", async (page, home) => {
  await page.goto(`${home}/`);
  await page.getByLabel("Username").fill(ADA.username);
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").waitFor();
});

pictured("org-approval", async (page, home) => {
  await page.goto(`${home}/`);
  await choose(page, ADA.username);
});

pictured("app", (page, home) => signIn(page, `${home}/wiki/deep/link?page=7&tab=history`));

pictured("me", async (page, home) => {
  await signIn(page, `${home}/`);
  await page.goto(`${home}/.portcullis/me`);
});

pictured("me-beyond-ascii", async (page, home) => {
  await signIn(page, `${home}/`, "zoe.muller@pretend.example");
  await page.goto(`${home}/.portcullis/me`);
});

pictured("sign-out", async (page, home) => {
  await signIn(page, `${home}/`);
  await page.goto(`${home}/.portcullis/sign-out`);
});

pictured("signed-out", (page, home) => page.goto(`${home}/.portcullis/signed-out`));

declined("unknown_page", 404, (page, home) => page.goto(`${home}/.portcullis/nothing-here`));
declined("state_mismatch", 400, (page, home) => page.goto(`${home}/.portcullis/callback?code=x`));
declined("attempt_missing", 400, (page, home) => page.goto(`${home}/.portcullis/callback?code=x&state=y`));
declined("parameter_repeated", 400, (page, home) => page.goto(`${home}/.portcullis/callback?state=x&state=y`));
declined("bad_target", 400, (page, home) => page.goto(`${home}/broken%zz`));
declined("sign_in_required", 401, (page, home) => page.goto(`${home}/.portcullis/me`));

declined("salesforce_access_denied", 403, async (page, home) => {
  await page.goto(`${home}/`);
  await choose(page, ADA.username);
  await deny(page);
});

for (const [username, code, approves] of [
  ["pat.ortner@partner.example", "user_type_not_allowed", true],
  ["nik.tesler@pretend.example", "salesforce_inactive_user", true],
  ["kat.johnsen@pretend.example", "salesforce_app_access_denied", false],
  ["fran.pagnol@elsewhere.example", "wrong_organization", true],
]) {
  declined(code, 403, async (page, home) => {
    await page.goto(`${home}/`);
    await choose(page, username);
    if (approves) await allow(page);
  });
}

declined("redirect_loop", undefined, async (page, home, context) => {
  await signIn(page, `${home}/`);
  for (let bounce = 0; bounce < 3; bounce += 1) {
    await context.clearCookies({ name: "portcullis" });
    await page.goto(`${home}/`);
  }
});

for (const [mischief, code] of [
  ["token-down", "provider_unreachable"],
  ["wrong-nonce", "provider_nonce"],
]) {
  declined(code, undefined, async (page, home) => {
    await page.goto(`${home}/`);
    await choose(page, ADA.username);
    await allow(page);
  }, { mischief });
}
