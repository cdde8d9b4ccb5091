// gRPC by a client and a server that we did not write: calls of all four kinds through the real gateway, with the
// cookie of somebody who signed in as metadata, and refusals in gRPC's own words.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import * as grpc from "@grpc/grpc-js";

import { makeCertificate } from "./certificate.mjs";
import { launch } from "./chromium.mjs";
import { inHouse, signedIn } from "./house.mjs";

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

// Messages are bytes: what is called is what matters here, not how it is encoded.
const bytes = (value) => Buffer.from(value);
const method = (name, requestStream, responseStream) => ({
  path: `/echo.Echo/${name}`,
  requestStream,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});
const service = {
  one: method("One", false, false),
  collect: method("Collect", true, false),
  count: method("Count", false, true),
  talk: method("Talk", true, true),
  fail: method("Fail", false, false),
  slow: method("Slow", false, false),
};
const Client = grpc.makeGenericClientConstructor(service, "Echo");

/** The app: it shows what it was told of the caller in its trailers. */
async function startServer() {
  const told = (call) => {
    const trailers = new grpc.Metadata();
    trailers.set("x-told", `${call.metadata.get("x-salesforce-user-id")[0] ?? "nobody"}`);
    trailers.set("x-cookie", `${call.metadata.get("cookie")[0] ?? "none"}`);
    return trailers;
  };
  const server = new grpc.Server({ "grpc.max_receive_message_length": 64 << 20 });
  server.addService(service, {
    one: (call, done) => done(null, call.request, told(call)),
    collect(call, done) {
      let total = 0;
      call.on("data", (data) => (total += data.length));
      call.on("end", () => done(null, String(total)));
    },
    count(call) {
      for (let number = 0; number < Number(call.request); number++) call.write(String(number));
      call.end(told(call));
    },
    talk(call) {
      call.on("data", (data) => call.write(`you said ${data}`));
      call.on("end", () => call.end());
    },
    fail: (_, done) => done({ code: grpc.status.NOT_FOUND, details: "no such thing: 100 %", metadata: new grpc.Metadata() }),
    slow: () => {},
  });
  const port = await new Promise((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => (error ? reject(error) : resolve(port))),
  );
  return { port, stop: () => server.forceShutdown() };
}

const call = (invoke) =>
  new Promise((resolve) => {
    const outcome = {};
    const running = invoke((error, reply) => Object.assign(outcome, { error, reply }));
    running.on("status", (status) => resolve({ ...outcome, status }));
  });

test("calls of all four kinds pass, with trailers, streams and errors", async () => {
  const server = await startServer();
  const routes = `[[route]]\npath = "/echo.Echo"\nupstream = "h2c://127.0.0.1:${server.port}"\n`;
  try {
    await signedIn(browser, { tls: makeCertificate, routes }, async (home, { cookie }, { folder }) => {
      const metadata = new grpc.Metadata();
      metadata.set("cookie", cookie);
      const authority = readFileSync(join(folder, "crt.pem"));
      const client = new Client(new URL(home).host, grpc.credentials.createSsl(authority), {
        "grpc.max_receive_message_length": 64 << 20,
      });
      try {
        await converse(client, metadata);
      } finally {
        client.close();
      }
    });
  } finally {
    server.stop();
  }
});

async function converse(client, metadata) {
  // Unary, small and large.
  for (const size of [0, 5, 5 << 20]) {
    const { error, reply, status } = await call((done) => client.one(Buffer.alloc(size, 7), metadata, done));
    assert.equal(error, null);
    assert.equal(reply.length, size);
    assert.equal(status.code, grpc.status.OK);
    assert.equal(status.metadata.get("x-cookie")[0], "none", "the app never sees our cookie");
    assert.match(status.metadata.get("x-told")[0], /^005/);
  }
  // Client streaming.
  const collected = await call((done) => {
    const stream = client.collect(metadata, done);
    for (let number = 0; number < 100; number++) stream.write(Buffer.alloc(10_000));
    stream.end();
    return stream;
  });
  assert.equal(`${collected.reply}`, "1000000");
  // Server streaming.
  const counted = [];
  const counting = client.count(Buffer.from("50"), metadata);
  counting.on("data", (data) => counted.push(Number(data)));
  const [counted_status] = await once(counting, "status");
  assert.deepEqual(counted, [...Array(50).keys()]);
  assert.match(counted_status.metadata.get("x-told")[0], /^005/);
  // Both at once: each word is answered before the next is said.
  const talk = client.talk(metadata);
  for (const word of ["one", "two", "three"]) {
    talk.write(Buffer.from(word));
    const [answer] = await once(talk, "data");
    assert.equal(`${answer}`, `you said ${word}`);
  }
  const talked = once(talk, "status");
  talk.end();
  assert.equal((await talked)[0].code, grpc.status.OK);
  // An error of the app's own, which is an answer of trailers alone.
  const failed = await call((done) => client.fail(Buffer.alloc(0), metadata, done));
  assert.deepEqual([failed.status.code, failed.status.details], [grpc.status.NOT_FOUND, "no such thing: 100 %"]);
  // A deadline.
  const late = await call((done) => client.slow(Buffer.alloc(0), metadata, { deadline: Date.now() + 300 }, done));
  assert.equal(late.status.code, grpc.status.DEADLINE_EXCEEDED);
  // Nobody.
  const stranger = await call((done) => client.one(Buffer.alloc(0), new grpc.Metadata(), done));
  assert.equal(stranger.status.code, grpc.status.UNAUTHENTICATED);
  assert.match(stranger.status.details, /^sign_in_required: /);
}

test("an app that is not there is UNAVAILABLE", async () => {
  const server = await startServer();
  server.stop();
  const routes = `[[route]]\npath = "/echo.Echo"\npublic = true\nupstream = "h2c://127.0.0.1:${server.port}"\n`;
  await inHouse({ tls: makeCertificate, routes }, async ({ home, folder }) => {
    const authority = readFileSync(join(folder, "crt.pem"));
    const client = new Client(new URL(home).host, grpc.credentials.createSsl(authority));
    try {
      const gone = await call((done) => client.one(Buffer.alloc(0), new grpc.Metadata(), done));
      assert.equal(gone.status.code, grpc.status.UNAVAILABLE);
      assert.match(gone.status.details, /^upstream_unreachable: /);
    } finally {
      client.close();
    }
  });
});
