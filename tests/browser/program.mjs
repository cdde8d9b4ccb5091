// Starting and ending the programs under test: the real binary, its output kept, its end awaited.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

const binary =
  process.env.TEST_PORTCULLIS ?? fileURLToPath(new URL("../../target/debug/portcullis", import.meta.url));

/** Starts `portcullis` and waits until `ready(output)` is truthy; gives that back as `ready`. */
export async function startPortcullis(arguments_, ready, { deadline = 120_000 } = {}) {
  const child = spawn(binary, arguments_, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let tell = () => {};
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text) => {
      output += text;
      tell();
    });
  }
  const program = {
    get output() {
      return output;
    },
    /** SIGTERM, and the program ends by itself, in good order. */
    async stop() {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 40_000);
      const end = await ended;
      clearTimeout(timer);
      assert.deepEqual(end, { code: 0, signal: null }, `portcullis did not end in good order:\n${output}`);
    },
  };
  const timer = setTimeout(() => child.kill("SIGKILL"), deadline);
  try {
    program.ready = await Promise.race([
      new Promise((resolve) => {
        tell = () => {
          const found = ready(output);
          if (found) resolve(found);
        };
        tell();
      }),
      ended.then((end) => {
        throw new Error(`portcullis ended before it was ready (${JSON.stringify(end)}):\n${output}`);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
  return program;
}

/**
 * A port that is free now, for a program that must know its own beforehand. Below those that the system gives to whoever
 * asks for any, so that nobody else is given it meanwhile.
 */
export async function freePort() {
  for (;;) {
    const server = createServer();
    const port = 10_000 + randomInt(10_000);
    server.listen(port, "127.0.0.1");
    const free = await Promise.race([once(server, "listening").then(() => true), once(server, "error").then(() => false)]);
    if (!free) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}
