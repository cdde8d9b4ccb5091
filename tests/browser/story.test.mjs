// The story of one visit, told in a browser: `portcullis demo`, nothing else, as a newcomer meets it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch, openContext } from "./chromium.mjs";
import { ADA, ORGANIZATION, allow, choose, deny, inDemo, refusalCode, shownHeaders, signIn } from "./demo.mjs";

const DEEP_LINK = "/wiki/deep/link?page=7&tab=history&who=%C3%A4%20b&tag=1&tag=2";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

const story = (name, tell) => test(name, () => inDemo(browser, tell));
const cookieOf = async (context, name) => (await context.cookies()).find((cookie) => cookie.name === name);
const isSignedIn = async (context) => (await cookieOf(context, "portcullis")) !== undefined;

story("a deep link leads through sign-in and approval back to that very page", async (page, context, home) => {
  await page.goto(`${home}${DEEP_LINK}#part-2`);
  assert.equal(await page.locator("h1").textContent(), "Sign in to the pretend org");
  assert.ok(!page.url().startsWith(home), page.url());
  assert.ok(!(await isSignedIn(context)));
  await choose(page, ADA.username);
  assert.equal(await page.locator("h1").textContent(), "Allow access?");
  await allow(page);
  await page.waitForURL((url) => url.href.startsWith(home + DEEP_LINK));
  assert.match(await page.locator("h1").textContent(), /You are signed in as Ada Lovell/);
  const headers = await shownHeaders(page);
  assert.equal(headers["x-forwarded-user"], `${ADA.user}@${ORGANIZATION}`);
  assert.equal(headers["x-forwarded-email"], ADA.email);
  assert.equal(headers["x-forwarded-preferred-username"], ADA.username);
  assert.equal(headers["x-salesforce-user-id"], ADA.user);
  assert.equal(headers["x-salesforce-organization-id"], ORGANIZATION);
  assert.equal(headers["x-salesforce-user-type"], "STANDARD");
  assert.equal(headers["x-forwarded-host"], new URL(home).host);
  assert.equal(headers["x-forwarded-proto"], "http");
  assert.doesNotMatch(headers.cookie ?? "", /portcullis/i);
  assert.ok((await page.locator(".line code").textContent()).includes(DEEP_LINK));
});

story("a name beyond ASCII arrives whole", async (page, _, home) => {
  await page.goto(`${home}/`);
  const zoe = page.locator('button[value="zoe.muller@pretend.example"]');
  const name = await zoe.locator("strong").textContent();
  assert.match(name, /Zoë Müller.*[^\0-ÿ]/, "a name beyond Latin-1");
  await zoe.click();
  await allow(page);
  await page.waitForURL(`${home}/`);
  assert.equal(await page.locator("h1").textContent(), `You are signed in as ${name}`);
  await page.goto(`${home}/.portcullis/me`);
  assert.equal(await page.locator("h1").textContent(), name);
});

story("username and password work as in life, and a wrong password does not", async (page, _, home) => {
  await page.goto(`${home}/`);
  for (const [password, landing] of [["wrong", "Sign in to the pretend org"], ["pretend", "Allow access?"]]) {
    await page.getByLabel("Username").fill(ADA.username);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
    assert.equal(await page.locator("h1").textContent(), landing);
  }
  await allow(page);
  await page.waitForURL(`${home}/`);
});

story("the session cookie is out of reach for scripts and other sites", async (page, context, home) => {
  await signIn(page, `${home}/`);
  const cookie = await cookieOf(context, "portcullis");
  assert.deepEqual(
    { ...cookie, value: cookie.value.length },
    {
      name: "portcullis",
      value: 43,
      domain: "localhost",
      path: "/",
      expires: -1,
      httpOnly: true,
      secure: false, // http://localhost: the one place where it may be so
      sameSite: "Lax",
    },
  );
  assert.doesNotMatch(await page.evaluate(() => document.cookie), /portcullis/);
  const attempts = (await context.cookies(home)).filter(({ name }) => name.startsWith("portcullis-attempt-"));
  assert.deepEqual(attempts, [], "an attempt's cookie is deleted when the attempt ends");
});

story("every sign-in makes a new session id, and the old one is worth nothing", async (page, context, home) => {
  await signIn(page, `${home}/`);
  const first = await cookieOf(context, "portcullis");
  await page.goto(`${home}/.portcullis/start?return_to=%2Fagain`);
  await page.waitForURL(`${home}/again`);
  const second = await cookieOf(context, "portcullis");
  assert.notEqual(first.value, second.value);
  await context.addCookies([first]);
  const answer = await context.request.get(`${home}/headers.json`);
  assert.equal(answer.status(), 401);
});

story("several tabs that all want to sign in all reach their own pages", async (first, context, home) => {
  const tabs = [first, await context.newPage(), await context.newPage()];
  for (const [number, tab] of tabs.entries()) await tab.goto(`${home}/tab/${number}`);
  // The first to sign in; the others find the org's session and are asked by their own approval pages.
  await choose(tabs[0], ADA.username);
  await allow(tabs[0]);
  await tabs[0].waitForURL(`${home}/tab/0`);
  for (const [number, tab] of tabs.entries()) {
    if (number === 0) continue;
    await choose(tab, ADA.username);
    await tab.waitForURL(`${home}/tab/${number}`);
    assert.ok((await tab.locator(".line code").textContent()).includes(`/tab/${number}`));
  }
});

story("the back button onto the callback lands on the page", async (page, _, home) => {
  const callbacks = [];
  page.on("request", (request) => {
    if (request.url().startsWith(`${home}/.portcullis/callback`)) callbacks.push(request.url());
  });
  await signIn(page, `${home}${DEEP_LINK}`);
  assert.equal(callbacks.length, 1);
  // The browser follows the callback's redirect without keeping it; somebody may have kept its address.
  await page.goto(callbacks[0]);
  assert.equal(page.url(), home + DEEP_LINK);
  await page.goto(`${home}/elsewhere`);
  await page.goBack();
  assert.equal(page.url(), home + DEEP_LINK);
});

story("the back button to the org's pages does no harm", async (page, _, home) => {
  await signIn(page, `${home}${DEEP_LINK}`);
  await page.goBack();
  await page.goForward();
  await page.waitForURL(home + DEEP_LINK);
  assert.match(await page.locator("h1").textContent(), /You are signed in/);
});

story("a sign-in that began in one browser cannot be finished in another", async (page, context, home) => {
  await page.goto(home + DEEP_LINK);
  await choose(page, ADA.username);
  // Allows, and stops short of the callback.
  const source = await page.locator("input[name=source]").inputValue();
  const answer = await context.request.post(page.url(), { form: { source, decision: "allow" }, maxRedirects: 0 });
  const callback = answer.headers().location;
  assert.ok(callback.startsWith(`${home}/.portcullis/callback?`), callback);
  const other = await openContext(browser);
  try {
    const stranger = await other.context.newPage();
    const response = await stranger.goto(callback);
    assert.equal(response.status(), 400);
    assert.equal(await refusalCode(stranger), "attempt_missing");
    assert.ok(!(await isSignedIn(other.context)));
    assert.deepEqual(other.complaints, []);
  } finally {
    await other.context.close();
  }
  // Nor does the stranger use it up.
  await page.goto(callback);
  assert.equal(page.url(), home + DEEP_LINK);
});

story("a script without a session is told where to sign in, and not redirected", async (page, context, home) => {
  await signIn(page, `${home}/`);
  await page.getByRole("button", { name: "Call" }).click();
  await page.locator("#call-out").filter({ hasText: "200: the app answered" }).waitFor();
  await context.clearCookies({ name: "portcullis" });
  const answer = await page.evaluate(async () => {
    const response = await fetch("/api/things", { headers: { accept: "application/json" } });
    const { status, redirected, headers } = response;
    return { status, redirected, type: headers.get("content-type"), challenge: headers.get("www-authenticate"), body: await response.json() };
  });
  assert.equal(answer.status, 401);
  assert.equal(answer.redirected, false);
  assert.match(answer.type, /^application\/json/);
  assert.notEqual(answer.challenge, null);
  assert.equal(answer.body.error, "sign_in_required");
  assert.ok(answer.body.sign_in.startsWith(`${home}/.portcullis/start`), answer.body.sign_in);
  // The address works: it leads back to the app (and not to the script's own address by surprise).
  await page.goto(answer.body.sign_in);
  await page.waitForURL((url) => url.origin === home);
  assert.ok(await isSignedIn(context));
});

story("a form that is posted without a session is answered with a page, and its fields go nowhere", async (page, context, home) => {
  await signIn(page, `${home}/`);
  await context.clearCookies({ name: "portcullis" });
  const [response] = await Promise.all([
    page.waitForResponse((response) => response.request().method() === "POST"),
    page.evaluate(() => {
      const form = document.createElement("form");
      form.method = "post";
      form.action = "/posted";
      document.body.append(form);
      form.submit();
    }),
  ]);
  assert.equal(response.status(), 401);
  await page.waitForURL(`${home}/posted`);
  assert.equal(await refusalCode(page), "sign_in_required");
  await page.getByRole("link", { name: "Sign in" }).click();
  await page.waitForURL((url) => url.origin === home);
  assert.ok(await isSignedIn(context));
});

story("a frame without a session shows a page with a link, not the org", async (page, context, home) => {
  await signIn(page, `${home}/`);
  await context.clearCookies({ name: "portcullis" });
  const answer = await context.request.get(`${home}/framed`, {
    headers: { accept: "text/html", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" },
    maxRedirects: 0,
  });
  assert.equal(answer.status(), 401);
  assert.match(answer.headers()["content-type"], /^text\/html/);
});

story("a WebSocket echoes for who is signed in, and is refused for who is not", async (page, context, home) => {
  await signIn(page, `${home}/`);
  await page.getByLabel("Say").fill("Grüße durchs Tor");
  await page.getByRole("button", { name: "Send" }).click();
  await page.locator("#socket-out").filter({ hasText: "The app says: Grüße durchs Tor" }).waitFor();
  const big = await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://${location.host}/socket`);
        const text = "x".repeat(300_000);
        socket.onopen = () => socket.send(text);
        socket.onmessage = ({ data }) => (socket.close(1000), resolve(data === text));
        socket.onerror = () => reject(new Error("no socket"));
      }),
  );
  assert.ok(big);
  await context.clearCookies({ name: "portcullis" });
  const { hostname, port } = new URL(home);
  const answer = await context.request.get(`${home}/socket`, {
    headers: {
      connection: "upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
      host: `${hostname}:${port}`,
    },
  });
  assert.equal(answer.status(), 401);
});

story("server-sent events arrive one by one", async (page, _, home) => {
  await signIn(page, `${home}/`);
  const times = await page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const source = new EventSource("/events?count=5&ms=200");
        const times = [];
        source.onmessage = () => {
          times.push(performance.now());
          if (times.length === 5) (source.close(), resolve(times));
        };
        source.onerror = () => reject(new Error("the stream ended early"));
      }),
  );
  assert.ok(times[4] - times[0] > 400, `they came all at once: ${times}`);
});

story("a request without a body arrives without one", async (page, _, home) => {
  await signIn(page, `${home}/`);
  const [empty, none] = await page.evaluate(() =>
    Promise.all(
      [{ method: "POST" }, { method: "DELETE" }].map(async (options) => (await fetch("/echo", options)).json()),
    ),
  );
  const lengthOf = ({ headers }) => headers.find(([name]) => name === "content-length")?.[1];
  assert.equal(lengthOf(empty), "0");
  assert.equal(empty.body.bytes, 0);
  assert.equal(none.body.bytes, 0);
  for (const { headers } of [empty, none]) assert.ok(!headers.some(([name]) => name === "transfer-encoding"));
});

story("an upload arrives whole", async (page, _, home) => {
  await signIn(page, `${home}/`);
  const [digest, answer] = await page.evaluate(async () => {
    const body = new Uint8Array(3_000_000).map((_, at) => (at * 31) % 251);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
    const response = await fetch("/upload", { method: "POST", body });
    return [[...hash].map((byte) => byte.toString(16).padStart(2, "0")).join(""), await response.json()];
  });
  assert.deepEqual(answer, { bytes: 3_000_000, sha256: digest, whole: true });
  await page.getByLabel("File").setInputFiles({ name: "a.txt", mimeType: "text/plain", buffer: Buffer.from("hello") });
  await page.getByRole("button", { name: "Upload" }).click();
  await page.locator("#upload-out").filter({ hasText: "5 bytes arrived" }).waitFor();
});

story("signing out by keyboard ends the session in every tab", async (page, context, home) => {
  await signIn(page, `${home}/`);
  const other = await context.newPage();
  await other.goto(`${home}/other`);
  const session = await cookieOf(context, "portcullis");
  await page.getByRole("link", { name: "Sign out" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(`${home}/.portcullis/sign-out`);
  assert.equal(await page.locator("h1").textContent(), "Sign out?");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), "Sign out");
  await page.keyboard.press("Enter");
  await page.waitForURL(`${home}/.portcullis/signed-out`);
  assert.equal(await page.locator("h1").textContent(), "You are signed out");
  assert.ok(!(await isSignedIn(context)));
  // The other tab's script is refused, and so is whoever kept the cookie.
  assert.equal(await other.evaluate(async () => (await fetch("/headers.json")).status), 401);
  await context.addCookies([session]);
  assert.equal(await other.evaluate(async () => (await fetch("/headers.json")).status), 401);
  // The page does not sign in again by itself; its link does.
  await page.getByRole("link", { name: "Sign in" }).click();
  await page.waitForURL(`${home}/`);
});

story("another site cannot sign anybody out", async (page, context, home) => {
  await signIn(page, `${home}/`);
  const elsewhere = home.replace("localhost", "127.0.0.1");
  const evil = await context.newPage();
  await evil.route(`${elsewhere}/**`, (route) =>
    route.fulfill({
      contentType: "text/html",
      body: `<!doctype html><form method="post" action="${home}/.portcullis/sign-out"><button>x</button></form>`,
    }),
  );
  await evil.goto(`${elsewhere}/evil`);
  const [response] = await Promise.all([
    evil.waitForResponse((response) => response.request().method() === "POST"),
    evil.getByRole("button").click(),
  ]);
  assert.equal(response.status(), 403);
  await page.goto(`${home}/still-here`);
  assert.match(await page.locator("h1").textContent(), /You are signed in/);
});

story("whoever denies the approval is told so, and can think again", async (page, context, home) => {
  await page.goto(home + DEEP_LINK);
  await choose(page, ADA.username);
  await deny(page);
  await page.waitForURL((url) => url.href.startsWith(`${home}/.portcullis/callback`));
  assert.equal(await refusalCode(page), "salesforce_access_denied");
  assert.ok(!(await isSignedIn(context)));
  await page.getByRole("link", { name: "Sign in again" }).click();
  await allow(page);
  await page.waitForURL(home + DEEP_LINK);
});

for (const { username, approves, code } of [
  { username: "pat.ortner@partner.example", approves: true, code: "user_type_not_allowed" },
  { username: "nik.tesler@pretend.example", approves: true, code: "salesforce_inactive_user" },
  { username: "kat.johnsen@pretend.example", approves: false, code: "salesforce_app_access_denied" },
  { username: "fran.pagnol@elsewhere.example", approves: true, code: "wrong_organization" },
]) {
  story(`${username} is kept out: ${code}`, async (page, context, home) => {
    await page.goto(home + DEEP_LINK);
    await choose(page, username);
    if (approves) await allow(page);
    await page.waitForURL((url) => url.href.startsWith(`${home}/.portcullis/callback`));
    assert.equal(await refusalCode(page), code);
    assert.ok(!(await isSignedIn(context)));
    const answer = await context.request.get(`${home}/headers.json`);
    assert.equal(answer.status(), 401);
  });
}

story("a browser that loses its session again and again is told, and not sent round for ever", async (page, context, home) => {
  await signIn(page, `${home}/`);
  for (let bounce = 0; bounce < 2; bounce += 1) {
    await context.clearCookies({ name: "portcullis" });
    await page.goto(`${home}/`);
    await page.waitForURL(`${home}/`);
    assert.match(await page.locator("h1").textContent(), /You are signed in/);
  }
  await context.clearCookies({ name: "portcullis" });
  await page.goto(`${home}/`);
  assert.equal(await refusalCode(page), "redirect_loop");
  assert.ok(!(await isSignedIn(context)));
  // The page offers to start over, and that works.
  await page.getByRole("link", { name: "Sign in again" }).click();
  await page.waitForURL(`${home}/`);
  assert.ok(await isSignedIn(context));
});
