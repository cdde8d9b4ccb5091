// `portcullis demo`: a pretend org, a pretend app and a real gateway, and the way through the org's pages.

import assert from "node:assert/strict";

import { inContext } from "./chromium.mjs";
import { startPortcullis } from "./program.mjs";

export const ORGANIZATION = "00D5g00000PrtClEAJ";
export const ADA = { username: "ada.lovell@pretend.example", user: "0055g00000AdaLvAAJ", email: "ada@pretend.example" };

const opened = (output) => output.match(/Open +(http:\/\/localhost:\d+)\//)?.[1];

/**
 * Starts a demo on free ports, and tells `story(page, context, home, demo)` in a browser without a past. The org
 * remembers approvals, so each test has its own.
 */
export async function inDemo(browser, story, { mischief, protocol, ...options } = {}) {
  const misbehave = mischief === undefined ? [] : ["--mischief", mischief];
  // Most stories are told by one protocol, where nobody has to choose first.
  const speak = ["--protocol", protocol ?? "oidc"];
  const demo = await startPortcullis(["demo", ...speak, ...misbehave], opened);
  try {
    await inContext(browser, (page, context) => story(page, context, demo.ready, demo), options);
    // Whatever happened, the output tells of it without codes and tokens.
    assert.doesNotMatch(demo.output, /[?&]code=|aPrx|eyJ[A-Za-z0-9_-]{20,}/);
  } catch (problem) {
    console.error(demo.output);
    throw problem;
  } finally {
    await demo.stop();
  }
}

/** At the org's sign-in page: be this person. */
export const choose = (page, username) => page.locator(`button[name=person][value="${username}"]`).click();
/** At the approval page. */
export const allow = (page) => page.getByRole("button", { name: "Allow" }).click();
export const deny = (page) => page.getByRole("button", { name: "Deny" }).click();

/** Goes to `address` and comes back as that person, who has not been here before. */
export async function signIn(page, address, username = ADA.username) {
  await page.goto(address);
  await choose(page, username);
  await allow(page);
  await page.waitForURL(address);
}

/** The headers that the app's page shows, by their names. */
export async function shownHeaders(page) {
  const rows = await page.locator("tbody tr").evaluateAll((rows) =>
    rows.map((row) => [row.querySelector("th").textContent, row.querySelector("td").firstChild.textContent.trim()]),
  );
  return Object.fromEntries(rows);
}

/** The code that a page of ours shows when it declines. */
export const refusalCode = (page) => page.locator("dt:text-is('Code') + dd").textContent();

/** Where the demo's app is, past its gateway. */
export const appOf = (demo) => demo.output.match(/app +(http:\/\/127\.0\.0\.1:\d+)/)[1];
