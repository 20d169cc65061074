// @ts-check
// What is particular to Deno among the runtimes of JavaScript.
"use strict";

module.exports = {
  /** The version that it tells at its start. */
  version: Deno.version.deno,
  /** What follows an entrypoint's file, in the order in which files are looked for. */
  suffixes: [".ts", ".js", ".mjs", ".mts", ".tsx", ".jsx", ".cjs"],
  /** Files of source, by their names. */
  source: /\.(?:[cm]?[jt]s|[jt]sx)$/,
  /** Variables that are read when the process starts, before those of the function come. */
  tooLate: ["DENO_DIR", "DENO_CERT", "DENO_TLS_CA_STORE", "DENO_V8_FLAGS", "DENO_AUTH_TOKENS", "NODE_OPTIONS"],
  name: "Deno",
  /** What to do where a file of TypeScript has the name that an import asks for, but for its end. */
  typeScript: "name the file as it is: an import of TypeScript ends with .ts",

  /**
   * How a package that is missing gets there.
   * @param {string} name
   */
  installing: (name) =>
    `the imports of deno.json are not read here, and nothing is installed: put ${name} into one file with the function, ` +
    "as `deno bundle main.ts -o bundle.js` does, and point `entrypoint` there",

  /** Every file is an ES module that neither its name nor a package.json says anything else of. */
  isModule: () => true,

  /**
   * Lets `console` write to these streams.
   * @param {import("node:stream").Writable} stdout
   * @param {import("node:stream").Writable} stderr
   */
  redirect(stdout, stderr) {
    const { Console } = require("node:console");
    globalThis.console = new Console({ stdout, stderr });
  },

  /** Called once `process.exit` is that of the shim. */
  settle() {
    // What ends the process without a word, and what the shim itself ends it with, go through this one.
    const exit = Deno.exit.bind(Deno);
    /** @type {any} */ (process).reallyExit = exit;
    Deno.exit = /** @type {typeof Deno.exit} */ ((code) => process.exit(code));
  },
};
