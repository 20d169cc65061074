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
  let text;
  try {
    text = JSON.stringify(collected(value));
  } catch (error) {
    if (error instanceof Unserializable) throw error;
    throw explained(value, error);
  }
  if (text === undefined) throw new Unserializable(`a value of type ${typeof value} at $ is not JSON`);
  return text;
}

/**
 * What JSON.stringify() would write as `{}`: a Map as an object, a Set as a list. An Error is meant to be thrown.
 * @param {unknown} value
 * @returns {unknown}
 */
function collected(value) {
  if (!(value instanceof Map || value instanceof Set || value instanceof Error)) return value;
  if (typeof Reflect.get(value, "toJSON") === "function") return value;
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  throw new Unserializable(`a value of type ${value.constructor.name} at $ is not JSON: throw it`);
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
    const step = Array.isArray(value) ? `[${key}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
    const found = find(item, path + step, inside);
    if (found !== null) return found;
  }
  return null;
}

module.exports = { encode };
