// The cases of the Autobahn Testsuite, against which WebSocket implementations are held everywhere, run by kosoku:
// Autobahn's own files and somebody else's runner, since Autobahn's (wstest) is for Python 2 alone. Either side can be
// attacked: a client by Autobahn as a server, a server by Autobahn as a client.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";

import WebSocket from "ws";

import { limits } from "./echo.mjs";

const program = fileURLToPath(new URL("../../target/autobahn/bin/kosoku", import.meta.url));

/** How many cases are under way at once: many do nothing for a second or two. */
const AT_ONCE = 8;

/** Far more than any conversation takes: one that hangs is a difference then, and does not hang the test. */
const DEADLINE = 30_000;

/** What Autobahn tells of a case that holds no time, no key and no size of a read, and so is the same each time. */
const told = [
  "behavior",
  "behaviorClose",
  "result",
  "resultClose",
  "received",
  "remoteCloseCode",
  "remoteCloseReason",
  "localCloseCode",
  "closedByMe",
  "droppedByMe",
  "failedByMe",
  "wasClean",
  "rxFrameStats",
  "txFrameStats",
];

/** The command line of one run of `cases`, patterns like `1.*`; `folder` gets its report. */
function commandLine(mode, address, folder, cases) {
  assert.ok(existsSync(program), "kosoku is missing: run `bash tests/run` once, it installs it from PyPI");
  return ["-m", mode, address, "-o", folder, ...cases.flatMap((id) => ["-i", id])];
}

/** The report in `folder`, agent by agent, case by case: what is told of it, and what else `more` knows. */
function readReport(folder, more = () => ({})) {
  // Nothing is written where no case was run.
  if (!existsSync(join(folder, "index.json"))) return {};
  const read = (name) => JSON.parse(readFileSync(join(folder, name), "utf8"));
  const map = (all, change) => Object.fromEntries(Object.entries(all).map(([key, value]) => [key, change(value)]));
  return map(read("index.json"), (cases) =>
    map(cases, ({ reportfile }) => {
      const whole = read(reportfile);
      return { ...Object.fromEntries(told.map((name) => [name, whole[name]])), ...more(whole) };
    }),
  );
}

/** Starts Autobahn as a server, with `cases` for whoever comes. */
export async function startAutobahn(folder, cases) {
  const child = spawn(program, commandLine("fuzzingserver", "127.0.0.1:0", folder, cases), {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let output = "";
  const ended = once(child, "close");
  const url = await Promise.race([
    new Promise((resolve) => {
      child.stderr.setEncoding("utf8").on("data", (text) => {
        output += text;
        const [found] = output.match(/ws:\/\/\S+(?=\n)/) ?? [];
        if (found) resolve(found);
      });
    }),
    ended.then(() => {
      throw new Error(`kosoku did not start:\n${output}`);
    }),
  ]);
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
  };
  const seen = {};
  return {
    url,
    stop,
    /**
     * As `agent`, a client goes through all cases, by way of `through`, and sends back what `echo(data, case)` makes of
     * what it gets. How many there are is asked directly.
     */
    async undergo(agent, { through = url, options, echo = (data) => data } = {}) {
      const [, message] = await converse(`${url}/getCaseCount`, {}, (data) => data);
      const count = Number(message.match(/^text "(\d+)"$/)[1]);
      seen[agent] = {};
      let next = 1;
      const some = async () => {
        while (next <= count) {
          const at = next++;
          const address = `${through}/runCase?case=${at}&agent=${agent}`;
          seen[agent][at] = await converse(address, options, (data) => echo(data, at));
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, some));
      return Object.values(seen[agent]);
    },
    /** What it says of every agent; that is its end. */
    async report() {
      const timer = setTimeout(() => child.kill("SIGKILL"), DEADLINE);
      await converse(`${url}/updateReports`, {}, (data) => data);
      await ended;
      clearTimeout(timer);
      return readReport(folder, ({ agent, case: at }) => ({ seen: seen[agent][at] }));
    },
  };
}

/** Lets Autobahn go through `cases` with the server at `url`, as its client: what it says of them. */
export async function attack(url, folder, cases) {
  const command = [...commandLine("fuzzingclient", url, folder, cases), "-p", `${AT_ONCE}`];
  // It fails when the server has a fault: that is for whoever reads the report.
  await new Promise((resolve) => execFile(program, command, { timeout: 4 * DEADLINE, killSignal: "SIGKILL" }, resolve));
  // The server's name is all that it knows of the agent, and who is not reached has another.
  return Object.assign({}, ...Object.values(readReport(folder)));
}

/** A message in few words. */
const brief = (data) => {
  if (data.length <= 16) return JSON.stringify(data.toString("latin1"));
  return `${data.length} ${createHash("sha256").update(data).digest("hex")}`;
};

/** One conversation, in which `echo(data)` is sent back: what the client saw of it, to the end. */
async function converse(url, options, echo) {
  // Whoever offers to forget what was sent before is given every kind of compression that the cases have.
  const perMessageDeflate = { threshold: 0, clientNoContextTakeover: true };
  const client = new WebSocket(url, [], { perMessageDeflate, ...limits, ...options });
  const seen = [];
  const timer = setTimeout(() => (seen.push("hangs"), client.terminate()), DEADLINE);
  client.on("open", () => seen.push(`open ${client.extensions}`));
  client.on("message", (data, binary) => {
    seen.push(`${binary ? "binary" : "text"} ${brief(data)}`);
    client.send(echo(data), { binary });
  });
  client.on("ping", (data) => seen.push(`ping ${brief(data)}`));
  client.on("pong", (data) => seen.push(`pong ${brief(data)}`));
  client.on("error", ({ code, message }) => seen.push(`error ${code ?? message}`));
  const [code, reason] = await new Promise((resolve) => client.once("close", (...how) => resolve(how)));
  clearTimeout(timer);
  return [...seen, `close ${code} ${reason}`];
}

/** What is not the same in two reports on the same cases, by case: `[what, here, there]` of each. */
export function differences(here = {}, there = {}) {
  const found = {};
  for (const id of new Set([...Object.keys(here), ...Object.keys(there)])) {
    const [one, other] = [here[id] ?? {}, there[id] ?? {}];
    const names = new Set([...Object.keys(one), ...Object.keys(other)]);
    const unlike = [...names].filter((name) => !isDeepStrictEqual(one[name], other[name]));
    if (unlike.length > 0) found[id] = unlike.map((name) => [name, one[name], other[name]]);
  }
  return found;
}

/** How many cases ended in which way. */
export function tally(report) {
  const counts = {};
  for (const { behavior } of Object.values(report)) counts[behavior] = (counts[behavior] ?? 0) + 1;
  return counts;
}
