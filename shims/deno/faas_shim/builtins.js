// @ts-check
// Loads what is built in ahead of the first use.
"use strict";

/**
 * What `load` returns, which must run no code of a function.
 * @template T
 * @param {() => T} load
 * @returns {T}
 */
function quickly(load) {
  return load();
}

/** Makes the loader of ES modules and the compiler of TypeScript, which their first use does. */
function loadImports() {
  return require("./importing.js")("./sample.ts");
}

/** Makes the classes of the fetch API, which their first use does. */
function loadFetch() {
  return Response.json(new Request("http://localhost").method).text();
}

module.exports = { loadFetch, loadImports, quickly };
