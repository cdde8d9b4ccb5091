// Holds docs/dependencies.md against Cargo.toml and package.json: a row for each dependency, with its licence,
// and no crate in the tree whose licence is not among the ones that the page allows.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const cargo = (...args) => execFileSync("cargo", args, { encoding: "utf8", cwd: new URL("..", import.meta.url) });

const page = read("docs/dependencies.md");
const rows = new Map([...page.matchAll(/^\| (@?[a-z][a-z0-9_/-]*) \| .+ \| (.+) \|$/gm)].map(([, name, licence]) => [name, licence]));
const allowed = new Set([...page.split("## Licences in the tree")[1].matchAll(/`([^`]+)`/g)].map(([, name]) => name));

// name -> licence of every crate that is built for this machine, ourselves left out
const crates = new Map(
  cargo("tree", "--locked", "--all-features", "-e", "normal,build,dev", "--prefix", "none", "-f", "{p}|{l}")
    .split("\n")
    .map((line) => line.replace(/ \(\*\)$/, "").split("|"))
    .filter(([crate, licence]) => licence !== undefined && !crate.startsWith("portcullis "))
    .map(([crate, licence]) => [crate.split(" ")[0], licence]),
);
const direct = new Set();
for (const { dependencies } of JSON.parse(cargo("metadata", "--locked", "--no-deps", "--format-version", "1")).packages) {
  for (const { name } of dependencies) direct.add(name);
}
const { devDependencies } = JSON.parse(read("tests/browser/package.json"));
const locked = JSON.parse(read("tests/browser/package-lock.json")).packages;
const packages = new Map(Object.keys(devDependencies).map((name) => [name, locked[`node_modules/${name}`].license]));

// "A OR B" needs one of them, "AND" all; "/" is the old way to write OR.
function isAllowed(licence) {
  const words = licence.replaceAll("/", " OR ").match(/[()]|[^\s()]+/g) ?? [];
  let at = 0;
  const one = () => {
    if (words[at] !== "(") {
      const name = words[at++];
      // An exception only permits more.
      if (words[at] === "WITH") at += 2;
      return allowed.has(name);
    }
    at += 1;
    const inner = or();
    at += 1;
    return inner;
  };
  const and = () => {
    let all = one();
    while (words[at] === "AND") (at += 1), (all = one() && all);
    return all;
  };
  const or = () => {
    let any = and();
    while (words[at] === "OR") (at += 1), (any = and() || any);
    return any;
  };
  return or() && at === words.length;
}

const problems = [];
for (const name of direct) {
  if (!rows.has(name)) problems.push(`${name} has no row`);
  else if (crates.has(name) && rows.get(name) !== crates.get(name)) problems.push(`${name} is under ${crates.get(name)}`);
}
for (const [name, licence] of packages) {
  if (rows.get(name)?.toLowerCase() !== licence.toLowerCase()) problems.push(`${name} has no row with its licence, ${licence}`);
}
for (const name of rows.keys()) {
  if (!direct.has(name) && !packages.has(name)) problems.push(`${name} has a row and is not used`);
}
for (const [name, licence] of crates) {
  if (!isAllowed(licence)) problems.push(`${name}: its licence is not allowed: ${licence}`);
}
if (problems.length > 0) {
  console.error(problems.map((problem) => `docs/dependencies.md: ${problem}`).join("\n"));
  process.exit(1);
}
console.log(`${direct.size} dependencies explained, ${crates.size} crates with allowed licences`);
