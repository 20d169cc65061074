// Run by a program that was found, with `-e`: tells what it is and which files it consists of.
"use strict";
const { realpathSync } = require("node:fs");
const name = process.release && process.release.name;
console.log(
  JSON.stringify({
    // Bun and Deno answer to the name of Node too.
    implementation: process.versions.bun || process.versions.deno ? "other" : name,
    version: process.versions.node,
    final: !process.version.includes("-"),
    program: { from: realpathSync(process.execPath), to: "opt/node/bin/node" },
  }),
);
