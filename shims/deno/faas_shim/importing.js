// @ts-check
// Imports a module, and tells failures as Node does: the shim's `errors.js` reads them so.
"use strict";

const { readFileSync } = require("node:fs");

/** Deno writes the place below the message, with the source between where the file does not parse. */
const PLACE = /\n {4}at file:\/\/([^\n]+):(\d+):(\d+)$/;
const NOT_PARSED = /^SyntaxError: ([^\n]*)/;
const NO_MODULE = /^Module not found "(?:file:\/\/)?([^"]+)"/;
const NO_PACKAGE = /^(?:Relative import path|Import) "([^"]+)"/;

/**
 * @param {string} url absolute, or relative to this file
 * @returns {Promise<Record<string, unknown>>}
 */
module.exports = async (url) => {
  try {
    return await import(url);
  } catch (error) {
    throw translated(error);
  }
};

/** @param {any} error */
function translated(error) {
  if (error?.code !== "ERR_MODULE_NOT_FOUND") return error;
  const message = String(error.message);
  const [, path = "", line = "1", column = "1"] = PLACE.exec(message) ?? [];
  const file = decodeURI(path);
  const syntax = NOT_PARSED.exec(message);
  if (syntax !== null) {
    const found = new SyntaxError(syntax[1]);
    found.stack = `${file}:${line}\n${lineOf(file, Number(line))}\n${" ".repeat(Number(column) - 1)}^\n${found}`;
    return found;
  }
  const wanted = NO_MODULE.exec(message)?.[1] ?? NO_PACKAGE.exec(message)?.[1];
  if (wanted === undefined) return error;
  const what = NO_MODULE.test(message) ? "module" : "package";
  const told = new Error(`Cannot find ${what} '${decodeURI(wanted)}' imported from ${file}`);
  return Object.assign(told, { code: error.code, stack: error.stack });
}

/**
 * @param {string} file
 * @param {number} line
 */
function lineOf(file, line) {
  try {
    return readFileSync(file, "utf8").split("\n", line)[line - 1] ?? "";
  } catch {
    return "";
  }
}
