// @ts-check
// What is particular to this runtime among those that run JavaScript. A runtime that shares the shim has its own file.
"use strict";

const ESM_SYNTAX = /^\s*(?:import\s*[\w{*"']|export\s+(?:default|const|let|var|function|async|class|\{|\*))/m;

module.exports = {
  /** The version that it tells at its start. */
  version: process.versions.node,
  /** What follows an entrypoint's file, in the order in which files are looked for. */
  suffixes: [".mjs", ".js", ".cjs"],
  /** Files of source, by their names. */
  source: /\.[cm]?js$/,
  /** Variables that are read when the process starts, before those of the function come. */
  tooLate: ["NODE_OPTIONS", "NODE_DEBUG", "NODE_PENDING_DEPRECATION"],
  name: "Node",
  /** What to do where a file of TypeScript has the name that an import asks for, but for its end. */
  typeScript: "TypeScript is not compiled here: deploy what its compiler has made",

  /**
   * How a package that is missing gets there.
   * @param {string} name
   */
  installing: (name) => `run \`npm install ${name}\` in the function's directory and deploy again, node_modules included`,

  /**
   * Whether a file is an ES module that neither its name nor a package.json says anything of.
   * @param {string} text
   */
  isModule: (text) => ESM_SYNTAX.test(text),

  /**
   * Lets `console` write to these streams; here it does, since they are the process's.
   * @param {import("node:stream").Writable} stdout
   * @param {import("node:stream").Writable} stderr
   */
  redirect(stdout, stderr) {},

  /** Called once `process.exit` is that of the shim. */
  settle() {},
};
