// @ts-check
// Loads what is built into Node with the code that Node was compiled with.
//
// Node carries compiled code of its own modules, and V8 takes it only while its flags are those that it was compiled under.
// The limits of the heap are such flags: with them every module is compiled anew, which doubles the time of a start. The heap
// reads them once, when it is made. So they are put back to their defaults while the shim loads what is built in, and are
// in force again before any code of a function runs: the heaps of its worker threads are made by them.
"use strict";

const HEAP_FLAG = /^(--max-(?:old|semi)-space-size)=/;

const given = process.execArgv.filter((flag) => HEAP_FLAG.test(flag));
const defaults = given.map((flag) => flag.replace(/=.*/, "=0"));

/**
 * The engine's switch. `node:v8` itself would load streams and more, before it could be used. Where the binding is gone, from
 * Node 24 on, compiled code is taken whatever these flags are.
 * @returns {{ setFlagsFromString: (flag: string) => void } | null}
 */
function engine() {
  const told = process.noDeprecation;
  process.noDeprecation = true;
  try {
    return /** @type {any} */ (process).binding("v8");
  } catch {
    return null;
  } finally {
    process.noDeprecation = told;
  }
}

const v8 = given.length > 0 ? engine() : null;

/** @param {string[]} flags */
function set(flags) {
  for (const flag of flags) v8?.setFlagsFromString(flag);
}

/**
 * What `load` returns, which must run no code of a function.
 * @template T
 * @param {() => T} load
 * @returns {T}
 */
function quickly(load) {
  set(defaults);
  try {
    return load();
  } finally {
    set(given);
  }
}

/**
 * The same for what ends later.
 * @param {() => Promise<unknown>} load
 */
async function quicklyLater(load) {
  set(defaults);
  try {
    await load();
  } finally {
    set(given);
  }
}

/** Makes the loader of ES modules, which the first import does. */
function loadImports() {
  return quicklyLater(() => require("./importing.js")("./sample.mjs"));
}

/** Makes the classes of the fetch API, which their first use does. */
function loadFetch() {
  return quickly(() => Response.json(new Request("http://localhost").method).text());
}

module.exports = { loadFetch, loadImports, quickly };
