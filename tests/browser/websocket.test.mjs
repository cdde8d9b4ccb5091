// WebSocket by the book: what an independent client and server say to each other directly, they say in the same words
// through the gateway. The cases follow RFC 6455: sizes at the borders of the length forms, fragments, control frames
// in between, every way to close, compression, and frames that the protocol forbids.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { after, before, test } from "node:test";

import WebSocket from "ws";

import { launch } from "./chromium.mjs";
import { startEcho } from "./echo.mjs";
import { signedIn } from "./house.mjs";

/** One conversation: what `speak(client, next)` says and everything that comes back, as a transcript. */
async function converse(url, options, protocols, speak) {
  const transcript = [];
  const client = new WebSocket(url, protocols, options);
  const waiting = [];
  const note = (...what) => {
    transcript.push(what);
    waiting.shift()?.(what);
  };
  const next = () => new Promise((resolve) => waiting.push(resolve));
  const closed = new Promise((resolve) => client.once("close", (code, reason) => resolve([code, `${reason}`])));
  client.on("message", (data, isBinary) => note(isBinary ? "binary" : "text", data.length, data.toString("base64")));
  client.on("ping", (data) => note("ping", `${data}`));
  client.on("pong", (data) => note("pong", `${data}`));
  client.on("error", (error) => transcript.push(["error", error.code ?? error.message]));
  await once(client, "open");
  transcript.push(["open", client.protocol, client.extensions]);
  const timer = setTimeout(() => client.terminate(), 20_000);
  await speak(client, next);
  transcript.push(["closed", ...(await closed)]);
  clearTimeout(timer);
  return transcript;
}

const [PLAIN, DEFLATED] = [{ perMessageDeflate: false }, { perMessageDeflate: { threshold: 0 } }];

/** Sends `messages` one by one, hears each back, and closes. */
const echoed = (...messages) => async (client, next) => {
  for (const message of messages) {
    const answer = next();
    client.send(message);
    await answer;
  }
  client.close(1000, "done");
};

/** A masked frame, with a mask of zeros. */
const frame = (first, payload = Buffer.alloc(0), mask = 0x80) =>
  Buffer.concat([Buffer.from([first, mask | payload.length]), Buffer.alloc(mask ? 4 : 0), payload]);

/** Writes bytes that no client would send; the app closes with `code`. */
const wrong = (code, bytes) => async (client) => {
  client._socket.write(bytes);
  const [said] = await once(client, "close");
  assert.equal(said, code);
};

const text = (size) => "ü".repeat(size >> 1) + "x".repeat(size & 1);
const sizes = [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537, 1 << 20];

const cases = {
  ...Object.fromEntries(sizes.map((size) => [`text of ${size} bytes`, [PLAIN, echoed(text(size))]])),
  ...Object.fromEntries(sizes.map((size) => [`${size} bytes`, [PLAIN, echoed(randomBytes(size))]])),
  ...Object.fromEntries(sizes.map((size) => [`compressed text of ${size} bytes`, [DEFLATED, echoed(text(size))]])),
  "a thousand messages in order": [
    PLAIN,
    async (client, next) => {
      const all = Array.from({ length: 1000 }, next);
      for (let at = 0; at < 1000; at += 1) client.send(`${at}`);
      assert.deepEqual((await Promise.all(all)).map(([, , data]) => `${Buffer.from(data, "base64")}`), Array.from({ length: 1000 }, (_, at) => `${at}`));
      client.close(1000);
    },
  ],
  "a message in fragments with a ping between": [
    PLAIN,
    async (client, next) => {
      const [pong, message] = [next(), next()];
      client.send("one ", { fin: false });
      client.ping("between");
      client.send("two ", { fin: false });
      client.send("three", { fin: true });
      assert.deepEqual(await pong, ["pong", "between"]);
      assert.equal(`${Buffer.from((await message)[2], "base64")}`, "one two three");
      client.close(1000);
    },
  ],
  "a ping of 125 bytes": [
    PLAIN,
    async (client, next) => {
      const pong = next();
      client.ping("p".repeat(125));
      await pong;
      client.close(1000);
    },
  ],
  "a ping from the app": [
    PLAIN,
    async (client, next) => {
      const ping = next();
      client.send("ping me");
      assert.deepEqual(await ping, ["ping", "from the app"]);
      client.close(1000);
    },
  ],
  "a pong that nobody asked for": [
    PLAIN,
    async (client, next) => {
      client.pong("unasked");
      await echoed("still here")(client, next);
    },
  ],
  ...Object.fromEntries(
    [1000, 1001, 1003, 1007, 1008, 1011, 3000, 4999].map((code) => [
      `closed by the app with ${code}`,
      [PLAIN, async (client) => client.send(`close ${code}`)],
    ]),
  ),
  "closed without a code": [PLAIN, async (client) => client.close()],
  "closed with a long reason": [PLAIN, async (client) => client.close(4000, "r".repeat(123))],
  "a reserved bit": [PLAIN, wrong(1002, frame(0xc1, Buffer.from("hi")))],
  "a reserved opcode": [PLAIN, wrong(1002, frame(0x83, Buffer.from("hi")))],
  "a frame without a mask": [PLAIN, wrong(1002, frame(0x81, Buffer.from("hi"), 0))],
  "text that is no UTF-8": [PLAIN, wrong(1007, frame(0x81, Buffer.from([0xff, 0xfe])))],
  "a control frame in fragments": [PLAIN, wrong(1002, frame(0x09, Buffer.from("hi")))],
  "a continuation of nothing": [PLAIN, wrong(1002, frame(0x80, Buffer.from("hi")))],
  "a close code that nobody may send": [PLAIN, wrong(1002, frame(0x88, Buffer.from([0x03, 0xed])))],
};

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

test("every conversation over WebSocket is the same as without the gateway", async () => {
  const app = await startEcho();
  try {
    await signedIn(browser, { upstream: app.url }, async (home, headers) => {
      for (const [name, [options, speak]] of Object.entries(cases)) {
        const directly = await converse(app.url.replace("http", "ws"), options, [], speak);
        const through = await converse(home.replace("http", "ws"), { ...options, headers }, [], speak);
        assert.ok(directly.length > 1 && directly.at(-1)[0] === "closed", name);
        assert.deepEqual(through, directly, name);
      }
    });
  } finally {
    await app.stop();
  }
});
