// @ts-check
// JSON, and why a value is none.
"use strict";

const { Unserializable } = require("./errors.js");

const DEPTH_MAX = 200;

/**
 * @param {unknown} value
 * @returns {string}
 */
function encode(value) {
  if (value === undefined) return "null";
  let text = written(value);
  // Only now: a value that could be written does not contain itself.
  if (text !== undefined && losesAny(value)) text = written(kept(value, "$", []));
  if (text === undefined) throw new Unserializable(`a value of type ${typeof value} at $ is not JSON`);
  return text;
}

/**
 * @param {unknown} value
 * @returns {string | undefined}
 */
function written(value) {
  try {
    return JSON.stringify(value);
  } catch (error) {
    throw explained(value, error);
  }
}

/** @param {object} value */
function isLossy(value) {
  return value instanceof Map || value instanceof Set || value instanceof Error || value instanceof Promise;
}

/** @param {object} value */
function writesItself(value) {
  return typeof Reflect.get(value, "toJSON") === "function";
}

/** @param {unknown} value */
function losesAny(value) {
  try {
    return loses(value);
  } catch (error) {
    throw explained(value, error);
  }
}

/**
 * Whether something inside would be written as `{}`, whatever it holds.
 * @param {unknown} value
 * @returns {boolean}
 */
function loses(value) {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some(loses);
  if (ArrayBuffer.isView(value) || writesItself(value)) return false;
  if (isLossy(value)) return true;
  return Object.keys(value).some((key) => loses(Reflect.get(value, key)));
}

/**
 * The same with a Map as an object and a Set as a list. An Error is meant to be thrown, and a Promise to be awaited.
 * @param {unknown} value
 * @param {string} path
 * @param {unknown[]} above
 * @returns {unknown}
 */
function kept(value, path, above) {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || writesItself(value)) return value;
  if (above.includes(value)) throw new Unserializable(`the value at ${path} contains itself`);
  if (above.length > DEPTH_MAX) throw new Unserializable("the returned value is nested too deeply for JSON");
  const inside = [...above, value];
  if (Array.isArray(value)) return value.map((item, index) => kept(item, `${path}[${index}]`, inside));
  if (value instanceof Set) return [...value].map((item, index) => kept(item, `${path}[${index}]`, inside));
  if (value instanceof Error) {
    throw new Unserializable(`a value of type ${value.constructor.name} at ${path} is not JSON: throw it`);
  }
  if (value instanceof Promise) throw new Unserializable(`a Promise at ${path} is not JSON: await it`);
  if (isBoxed(value)) return value;
  const fields = value instanceof Map ? [...value] : Object.entries(value);
  const named = fields.map(([key, item]) => [nameOf(key, path), kept(item, path + step(String(key)), inside)]);
  return Object.fromEntries(named);
}

/** @param {object} value */
function isBoxed(value) {
  return value instanceof Number || value instanceof String || value instanceof Boolean;
}

/**
 * @param {unknown} key of a Map
 * @param {string} path
 */
function nameOf(key, path) {
  if ((typeof key === "object" && key !== null) || typeof key === "function" || typeof key === "symbol") {
    throw new Unserializable(`a key of type ${typeof key} in the Map at ${path} is not JSON`);
  }
  return String(key);
}

/** @param {string} key */
function step(key) {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

/**
 * @param {unknown} value
 * @param {unknown} error
 */
function explained(value, error) {
  if (error instanceof RangeError) return new Unserializable("the returned value is nested too deeply for JSON");
  const place = find(value, "$", []);
  // What a toJSON() of the user throws is the user's own error.
  if (place === null && !(error instanceof TypeError)) return error;
  return new Unserializable(place ?? `the returned value is not JSON: ${/** @type {Error} */ (error).message}`);
}

/**
 * @param {unknown} value
 * @param {string} path
 * @param {unknown[]} above
 * @returns {string | null}
 */
function find(value, path, above) {
  if (typeof value === "bigint") return `a value of type bigint at ${path} is not JSON`;
  if (typeof value !== "object" || value === null) return null;
  if (above.includes(value)) return `the value at ${path} contains itself`;
  if (above.length > DEPTH_MAX || typeof Reflect.get(value, "toJSON") === "function") return null;
  const inside = [...above, value];
  for (const [key, item] of Object.entries(value)) {
    const found = find(item, path + (Array.isArray(value) ? `[${key}]` : step(key)), inside);
    if (found !== null) return found;
  }
  return null;
}

module.exports = { encode };
