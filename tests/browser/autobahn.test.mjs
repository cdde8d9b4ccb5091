// WebSocket by the book of somebody else: the cases of the Autobahn Testsuite. Each ends through the gateway as it ends
// without it, whichever side misbehaves, over HTTP/1.1 and HTTP/2; what the attacked client saw is compared as well.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import WebSocket, { WebSocketServer } from "ws";

import { attack, differences, startAutobahn, tally } from "./autobahn.mjs";
import { makeCertificate } from "./certificate.mjs";
import { launch } from "./chromium.mjs";
import { openDoor, openH2Door } from "./door.mjs";
import { startEcho } from "./echo.mjs";
import { inHouse, signedIn } from "./house.mjs";

/**
 * All but most of compression (12 and 13), which takes too long: 216 cases of a thousand messages, ten minutes for each
 * way. To the gateway they are bytes, and how to compress is agreed on in the handshake: each such agreement is here.
 */
const CASES = [
  ...[1, 2, 3, 4, 5, 6, 7, 9, 10].map((group) => `${group}.*`),
  ...[1, 2, 3, 4, 5, 6, 7].map((agreement) => `13.${agreement}.1`),
];
/** As many as these are, so that fewer do not pass for all. */
const COUNT = 308;

let browser;
let folder;
before(async () => {
  browser = await launch();
  folder = mkdtempSync(join(tmpdir(), "portcullis-autobahn-"));
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

const http = (url) => url.replace(/^ws/, "http");
const ws = (url) => url.replace(/^http/, "ws");

/** A house of two apps: one echoes, and Autobahn has cases. */
const houseOf = (echo, autobahn, more) => ({
  upstream: echo.url,
  routes: autobahn ? `[[route]]\npath = "/runCase"\nupstream = "${http(autobahn.url)}"\n` : "",
  ...more,
});

/** Runs `story` with what `starting` starts, and stops that. */
async function using(starting, story) {
  const started = await starting;
  try {
    return await story(started);
  } finally {
    await started.stop();
  }
}

/** Runs `story(autobahn, echo)` with both. */
const withBoth = (name, cases, story) =>
  using(startAutobahn(join(folder, name), cases), (autobahn) => using(startEcho(), (echo) => story(autobahn, echo)));

/** Both did all cases, nobody failed in any, and nothing differs. */
function assertSame(context, directly, others) {
  const counts = tally(directly);
  context.diagnostic(`directly: ${Object.keys(directly).length} cases, ${JSON.stringify(counts)}`);
  assert.equal(Object.keys(directly).length, COUNT);
  const { OK, "NON-STRICT": late, INFORMATIONAL: free, ...failed } = counts;
  assert.deepEqual(failed, {});
  for (const [way, report] of Object.entries(others)) {
    const found = differences(directly, report);
    context.diagnostic(`${way}: ${Object.keys(report).length} cases, ${Object.keys(found).length} end otherwise`);
    assert.deepEqual(found, {}, way);
  }
}

test("whatever Autobahn's server does, its clients see through the gateway", async (context) => {
  await withBoth("server", CASES, async (autobahn, echo) => {
    await autobahn.undergo("directly");
    await signedIn(browser, houseOf(echo, autobahn), (home, headers) =>
      autobahn.undergo("HTTP/1.1", { through: ws(home), options: { headers } }),
    );
    await signedIn(browser, houseOf(echo, autobahn, { tls: makeCertificate }), async (home, headers) => {
      // One after the other: a busy client is too late for cases that give it a second.
      await autobahn.undergo("TLS", { through: ws(home), options: { headers, rejectUnauthorized: false } });
      await using(openH2Door(home, headers), (door) => autobahn.undergo("HTTP/2", { through: door.url }));
    });
    const { directly, ...others } = await autobahn.report();
    assert.deepEqual(Object.keys(others).sort(), ["HTTP/1.1", "HTTP/2", "TLS"]);
    assertSame(context, directly, others);
  });
});

test("whatever Autobahn's clients do, their server sees through the gateway", async (context) => {
  const attacked = (way, opening) => using(opening, (door) => attack(door.url, join(folder, `client-${way}`), CASES));
  await using(startEcho(), async (echo) => {
    // The door is there too, so that only the gateway is another.
    const directly = await attacked("directly", openDoor(echo.url));
    const others = {};
    await signedIn(browser, houseOf(echo), async (home, fields) => {
      others["HTTP/1.1"] = await attacked("plain", openDoor(home, fields));
    });
    await signedIn(browser, houseOf(echo, undefined, { tls: makeCertificate }), async (home, fields) => {
      others["HTTP/2"] = await attacked("h2", openH2Door(home, fields));
    });
    assertSame(context, directly, others);
  });
});

test("without a cookie no case is run", async () => {
  const cases = ["1.*"];
  await withBoth("stranger", cases, async (autobahn, echo) => {
    const refused = ["error Unexpected server response: 401", "close 1006 "];
    const turnedAway = async (through, options) => {
      for (const seen of await autobahn.undergo("stranger", { through, options })) assert.deepEqual(seen, refused);
    };
    await autobahn.undergo("known");
    await inHouse(houseOf(echo, autobahn), async ({ home }) => {
      const origin = { origin: home };
      await turnedAway(ws(home), { headers: origin });
      const attacked = await using(openDoor(home, origin), ({ url }) => attack(url, join(folder, "attacker"), cases));
      assert.deepEqual(tally(attacked), { ERROR: 16 });
    });
    await inHouse(houseOf(echo, autobahn, { tls: makeCertificate }), ({ home }) =>
      using(openH2Door(home, { origin: home }), (door) => turnedAway(door.url)),
    );
    assert.equal(echo.count, 0);
    const report = await autobahn.report();
    assert.deepEqual(Object.keys(report), ["known"]);
    assert.deepEqual(tally(report.known), { OK: 16 });
  });
});

/** A proxy that takes messages in and sends them on in frames of its own, and answers pings itself. */
async function startRelay(url) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  server.on("connection", (client, { url: path }) => {
    const app = new WebSocket(`${url}${path}`);
    const ends = [client, app];
    for (const [end, other] of [ends, [app, client]]) {
      end.on("error", () => {});
      end.on("message", (data, binary) => other.send(data, { binary }));
      end.on("close", (code, reason) => (code < 1005 ? other.close(code, reason) : other.terminate()));
    }
  });
  await once(server, "listening");
  return {
    url: `ws://127.0.0.1:${server.address().port}`,
    async stop() {
      for (const client of server.clients) client.terminate();
      server.close();
      await once(server, "close");
    },
  };
}

test("a client that is wrong once, and a proxy that reads messages, are found out", async () => {
  const cases = ["1.1.2", "1.2.2", "2.2", "2.10", "3.2", "5.3", "7.7.1"];
  await withBoth("liar", cases, async (autobahn) => {
    await autobahn.undergo("honest");
    await autobahn.undergo("again");
    await autobahn.undergo("liar", { echo: (data, at) => (at === 2 ? Buffer.from("something else") : data) });
    await using(startRelay(autobahn.url), (relay) => autobahn.undergo("relayed", { through: relay.url }));
    const { honest, again, liar, relayed } = await autobahn.report();
    assert.deepEqual(Object.keys(honest).sort(), cases.toSorted());
    assert.deepEqual(differences(honest, again), {});
    const { "1.2.2": lie, ...rest } = differences(honest, liar);
    assert.deepEqual(lie[0], ["behavior", "OK", "FAILED"]);
    assert.deepEqual(rest, {});
    // Pings and pongs, and what comes behind a frame that nobody may send.
    assert.deepEqual(Object.keys(differences(honest, relayed)).sort(), ["2.10", "2.2", "3.2"]);
    const { "5.3": _, ...fewer } = honest;
    assert.deepEqual(Object.keys(differences(honest, fewer)), ["5.3"]);
    assert.deepEqual(Object.keys(differences(fewer, honest)), ["5.3"]);
  });
});
