// Debian's Chromium, driven by playwright-core: one browser for a test file, a fresh context (its own cookies)
// for each test. Whatever a page complains about in its console, content security policy included, is kept
// and fails the test that looks.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

const executablePath = process.env.TEST_CHROMIUM ?? "/usr/bin/chromium";
const screenshots = fileURLToPath(new URL("screenshots/", import.meta.url));

// It may speak to this machine alone, and never asks for anything by itself.
const flags = [
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
];

export const launch = () => chromium.launch({ executablePath, args: flags, headless: true });

/**
 * A context of its own, with `complaints`: what its pages wrote to the console as errors, but for what `excuse`
 * says yes to (pages that are not ours).
 */
export async function openContext(browser, { excuse = () => false, ...options } = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(45_000);
  const complaints = [];
  // A status of 400 and above is written there too; which one is right, the tests say.
  const isStatus = (text) => text.startsWith("Failed to load resource: the server responded with a status of");
  context.on("console", (message) => {
    const complaint = `${message.location().url}: ${message.text()}`;
    if (message.type() === "error" && !isStatus(message.text()) && !excuse(complaint)) complaints.push(complaint);
  });
  context.on("weberror", (problem) => complaints.push(String(problem.error())));
  return { context, complaints };
}

/** Runs `story(page, context)` in a fresh context, and fails when any page complained. */
export async function inContext(browser, story, options) {
  const { context, complaints } = await openContext(browser, options);
  try {
    await story(await context.newPage(), context);
    assert.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}

/** Keeps a picture of the page in each of the two lights and two widths. */
export async function photograph(page, name) {
  mkdirSync(screenshots, { recursive: true });
  const before = page.viewportSize();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const width of [375, 1280]) {
      await page.setViewportSize({ width, height: width === 375 ? 720 : 800 });
      await page.screenshot({ path: `${screenshots}${name}-${colorScheme}-${width}.png`, fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: null });
  if (before) await page.setViewportSize(before);
}
