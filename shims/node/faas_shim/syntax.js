// @ts-check
// Where a file does not parse. Loaded only when something has gone wrong.
"use strict";

const fs = require("node:fs");

const CHECKS_MAX = 30;
const CHECK_TIME_MS = 2_000;
/** What the engine writes above a syntax error's stack. */
const PLACE = /^(?:file:\/\/)?(\/[^\n]*?):(\d+)\n([^\n]*)\n( *)(\^+)/;

/**
 * @typedef {{ file: string, line: number, column: number, snippet: string }} Place
 */

/**
 * The place that a text begins with; the file keeps its whole path.
 * @param {string} text
 * @returns {Place | null}
 */
function placeIn(text) {
  const found = PLACE.exec(text);
  if (found === null) return null;
  const [, file, line, source, blanks, carets] = found;
  const indent = source.length - source.trimStart().length;
  const caret = " ".repeat(Math.max(0, blanks.length - indent)) + carets.slice(0, 80);
  const snippet = `${source.trim().slice(0, 500)}\n${caret}`;
  return { file, line: Number(line), column: blanks.length + 1, snippet };
}

/**
 * Asks a second process which file does not parse: the engine tells the place of an error in a module only when it
 * prints it. Nothing is run. Some 40 ms for each file.
 * @param {Error} error
 * @param {string} code
 * @returns {Place | null}
 */
function locate(error, code) {
  const { spawnSync } = require("node:child_process");
  const entry = process.argv[1] ?? "";
  const files = [entry, ...sources(code, 3).filter((file) => file !== entry)].slice(0, CHECKS_MAX);
  for (const file of files) {
    const options = { env: {}, timeout: CHECK_TIME_MS, maxBuffer: 1 << 20 };
    const { stderr } = spawnSync(process.execPath, ["--check", file], options);
    const text = String(stderr ?? "");
    const place = text.includes(error.message) ? placeIn(text) : null;
    if (place !== null) return place;
  }
  return null;
}

/**
 * @param {string} directory
 * @param {number} depth
 * @returns {string[]}
 */
function sources(directory, depth) {
  const entries = fs.readdirSync(directory, { withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    if (entry.isFile()) return /\.[cm]?js$/.test(entry.name) ? [path] : [];
    const skipped = depth === 0 || entry.name === "node_modules" || entry.name.startsWith(".");
    return entry.isDirectory() && !skipped ? sources(path, depth - 1) : [];
  });
}

module.exports = { placeIn, locate };
