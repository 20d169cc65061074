// @ts-check
// How a user's export wants to be called.
//
// - an object with a `fetch` function: fetch(request), the first parameter a Request
// - a function whose first parameter is named `request` or `req`: the same
// - every other function: (event, context)
"use strict";

const { LoadError } = require("./errors.js");

const FETCH = "fetch";
const EVENT = "event";

/**
 * `source` is the function whose text the file has.
 * @typedef {{ kind: "fetch" | "event", call: (...values: unknown[]) => unknown, source: Function, file: string }} Contract
 */

/**
 * @param {unknown} target what the entrypoint names
 * @param {string} shown how to name it in messages
 * @param {string} file
 * @returns {Contract}
 */
function read(target, shown, file) {
  if (typeof target === "function") return ofFunction(target, shown, file);
  const object = /** @type {Record<string, unknown> | null} */ (typeof target === "object" ? target : null);
  if (object !== null && typeof object.fetch === "function") {
    const call = /** @type {(...values: unknown[]) => unknown} */ (object.fetch);
    return { kind: FETCH, call: (request) => call.call(object, request), source: call, file };
  }
  const what = object === null ? `${article(target)}` : "an object without a `fetch` function";
  const hint = "export a function, or an object with a `fetch` function";
  throw new LoadError("EntrypointNotCallable", `\`${shown}\` is ${what}`, hint, file);
}

/**
 * @param {Function} target
 * @param {string} shown
 * @param {string} file
 * @returns {Contract}
 */
function ofFunction(target, shown, file) {
  const source = Function.prototype.toString.call(target);
  if (/^class\b/.test(source)) {
    throw new LoadError("EntrypointNotCallable", `\`${shown}\` is a class`, "export a function", file);
  }
  const [first = "", second = ""] = parameters(source);
  const call = /** @type {(...values: unknown[]) => unknown} */ (target);
  if (/^(request|req)$/i.test(first)) {
    if (/^(response|res)$/i.test(second)) {
      const message = `\`${shown}\` wants (${first}, ${second}), as Express and the http module do`;
      throw new LoadError("UnsupportedSignature", message, "return a Response instead of writing to one", file);
    }
    return { kind: FETCH, call, source: target, file };
  }
  if (target.length > 2) {
    const message = `\`${shown}\` has ${target.length} parameters; (event, context) is what it is called with`;
    throw new LoadError("UnsupportedSignature", message, "make it async and return the reply: no callbacks", file);
  }
  return { kind: EVENT, call, source: target, file };
}

/**
 * Names of the first two parameters; empty where a parameter is destructured.
 * @param {string} source a function as its text
 * @returns {string[]}
 */
function parameters(source) {
  const text = source.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, "");
  const single = /^(?:async\s+)?([\p{ID_Start}$_][\p{ID_Continue}$]*)\s*=>/u.exec(text);
  if (single) return [bare(single[1])];
  const open = text.indexOf("(");
  if (open < 0) return [];
  const list = /^\s*([^,)=\s]*)\s*(?:=[^,)]*)?(?:,\s*([^,)=\s]*))?/.exec(text.slice(open + 1));
  return list ? [bare(list[1] ?? ""), bare(list[2] ?? "")] : [];
}

/**
 * A leading underscore marks a parameter that is not used.
 * @param {string} name
 */
function bare(name) {
  return name.replace(/^_+/, "");
}

/** @param {unknown} value */
function article(value) {
  if (value === null || value === undefined) return String(value);
  return `a ${typeof value}`;
}

module.exports = { FETCH, EVENT, read };
