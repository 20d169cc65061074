// @ts-check
// Errors as the platform's function errors: the user's own places first, the shim's left out.
"use strict";

const fs = require("node:fs");

const { NAME: COMPILED } = require("./together.js");

const MESSAGE_MAX = 8 << 10;
const FRAMES_MAX = 40;
const CHAIN_MAX = 5;
const SHIM_DIR = `${__dirname}/`;
const BOOT = `${__dirname.slice(0, __dirname.lastIndexOf("/"))}/boot.js`;

/**
 * @typedef {{ type: string, message: string, stack?: string[], file?: string, line?: number,
 *   column?: number, snippet?: string, hint?: string, limit?: string }} Described
 * @typedef {{ name: string, file: string, line: number, column: number }} Frame
 */

/** The entrypoint cannot be served. `kind` stands in for the error's type. */
class LoadError extends Error {
  /**
   * @param {string} kind
   * @param {string} message
   * @param {string} [hint]
   * @param {string} [file]
   */
  constructor(kind, message, hint, file) {
    super(message);
    this.kind = kind;
    this.hint = hint;
    this.file = file;
  }
}

/** What a handler gave back is not a reply. */
class BadReply extends LoadError {
  /**
   * @param {string} message
   * @param {"reply"} [limit] the limit that it is beyond
   */
  constructor(message, limit) {
    super("BadReply", message, "return JSON values, text, bytes, a Response or { status, headers, body }");
    this.limit = limit;
  }
}

/** What a handler gave back has no JSON form; the message names its type and place. */
class Unserializable extends LoadError {
  /** @param {string} message */
  constructor(message) {
    super("Unserializable", message, "return JSON values, text, bytes, a Response or { status, headers, body }");
  }
}

/** The user's code called process.exit(). */
class ProcessExit extends Error {
  /** @param {unknown} code */
  constructor(code) {
    super(`process.exit(${code ?? ""}) was called`);
    this.name = "ProcessExit";
  }
}

/**
 * Adds the place of the handler to an error that is about what it returned: it came up after the handler had ended.
 * @param {Described} found
 * @param {unknown} error
 * @param {{ file: string, source: Function }} handler the function, and the file that it was loaded from
 * @param {string} code
 * @returns {Described}
 */
function placed(found, error, { file, source }, code) {
  if (!(error instanceof BadReply || error instanceof Unserializable) || found.stack !== undefined) return found;
  const { stack } = chained(error, code);
  if (stack.length > 0) return { ...found, stack };
  const before = textBefore(`${code}/${file}`, Function.prototype.toString.call(source));
  if (before === null) return found;
  const line = before.split("\n").length;
  const column = before.length - before.lastIndexOf("\n");
  const frame = { name: source.name, file: `${code}/${file}`, line, column };
  return { ...found, file, line, stack: [lineOf(frame, code)] };
}

/**
 * What stands before a part of a file; null where it has no such part, since the function came from elsewhere.
 * @param {string} file
 * @param {string} part
 */
function textBefore(file, part) {
  try {
    const source = fs.readFileSync(file, "utf8");
    const at = source.indexOf(part);
    return at < 0 ? null : source.slice(0, at);
  } catch {
    return null;
  }
}

/**
 * @param {unknown} error whatever was thrown
 * @param {string} code the directory of the user's files
 * @param {boolean} [loading] whether the user's files are being loaded
 * @returns {Described}
 */
function describe(error, code, loading = false) {
  try {
    return cutAll(described(error, code, loading));
  } catch {
    return { type: "Error", message: "what was thrown could not be looked at" };
  }
}

/**
 * @param {unknown} error
 * @param {string} code
 * @param {boolean} loading
 * @returns {Described}
 */
function described(error, code, loading) {
  if (error instanceof LoadError) {
    const limit = error instanceof BadReply ? error.limit : undefined;
    return { type: error.kind, message: error.message, hint: error.hint, file: error.file, limit };
  }
  if (!isError(error)) {
    const { inspect } = require("node:util");
    const shown = typeof error === "string" ? error : inspect(error, { depth: 2 });
    return { type: "Error", message: shown, hint: "throw an Error: it knows where it comes from" };
  }
  const { stack, place } = chained(error, code);
  /** @type {Described} */
  const found = { type: nameOf(error), message: messageOf(error), stack };
  if (place !== null) {
    found.file = relative(place.file, code) ?? place.file;
    found.line = place.line;
  }
  if (error.name === "SyntaxError") Object.assign(found, syntax(error, code, loading && place === null));
  const missing = missingModule(error, code);
  if (missing !== null) Object.assign(found, missing);
  const limit = limitOf(error);
  if (limit !== null) found.limit = limit;
  if (error instanceof ProcessExit) found.hint = "return from the handler instead of calling process.exit()";
  return found;
}

/**
 * The limit that an error tells of: nothing but /tmp can be full, and a refused start names itself.
 * @param {Error & { code?: unknown, syscall?: unknown }} error
 * @returns {"tmp" | "pids" | null}
 */
function limitOf(error) {
  if (error.code === "ENOSPC") return "tmp";
  const call = String(error.syscall ?? "");
  if (error.code === "EAGAIN" && /^(?:spawn|fork|uv_thread)/.test(call)) return "pids";
  return null;
}

/**
 * @param {unknown} value
 * @returns {value is Error & { code?: unknown, cause?: unknown }}
 */
function isError(value) {
  return value instanceof Error || Object.prototype.toString.call(value) === "[object Error]";
}

/** @param {Error} error */
function nameOf(error) {
  const own = error.constructor?.name;
  // A subclass that forgot to set `name` is still better told by its class.
  const name = error.name === "Error" && own ? own : error.name;
  return String(name || "Error");
}

/** @param {Error} error */
function messageOf(error) {
  return String(error.message ?? "");
}

/**
 * Stack entries, outermost call first, with those of causes before; and the place in the user's own files.
 * @param {Error & { cause?: unknown }} error
 * @param {string} code
 */
function chained(error, code) {
  const chain = [error];
  for (let next = error.cause; isError(next) && chain.length < CHAIN_MAX && !chain.includes(next); next = next.cause) {
    chain.push(next);
  }
  /** @type {string[]} */
  const stack = [];
  /** @type {Frame | null} */
  let place = null;
  for (const link of chain.reverse()) {
    const frames = framesOf(link);
    const own = frames.filter((frame) => relative(frame.file, code) !== null);
    place = own.find((frame) => !frame.file.includes("/node_modules/")) ?? own[0] ?? null;
    stack.push(...lines(frames.reverse(), code));
    if (link !== error) stack.push(`${nameOf(link)}: ${messageOf(link)}`);
  }
  return { stack, place };
}

/**
 * @param {Frame[]} frames
 * @param {string} code
 */
function lines(frames, code) {
  const shown = frames.map((frame) => lineOf(frame, code));
  if (shown.length <= FRAMES_MAX) return shown;
  const half = FRAMES_MAX / 2;
  return [...shown.slice(0, half), `... ${shown.length - FRAMES_MAX} more calls ...`, ...shown.slice(-half)];
}

/**
 * @param {Frame} frame
 * @param {string} code
 */
function lineOf(frame, code) {
  const file = relative(frame.file, code) ?? frame.file;
  const text = `at ${frame.name === "" ? "" : `${frame.name} `}(${file.slice(-500)}:${frame.line}:${frame.column})`;
  const source = sourceLine(frame.file, frame.line);
  return source === "" ? text : `${text}\n    ${source.trim().slice(0, 200)}`;
}

/**
 * Innermost first, without the shim's and the engine's own.
 * @param {Error} error
 * @returns {Frame[]}
 */
function framesOf(error) {
  const text = typeof error.stack === "string" ? error.stack : "";
  /** @type {Frame[]} */
  const frames = [];
  for (const line of text.split("\n").slice(0, 500)) {
    const found = /^ {4}at (?:(.*?) \()?(?:file:\/\/)?([^()]+):(\d+):(\d+)\)?$/.exec(line);
    if (found === null) continue;
    const file = decoded(found[2].replace(/^async /, "").replace(/^file:\/\//, ""));
    if (/^(?:node|ext):/.test(file) || file.startsWith(SHIM_DIR) || file === BOOT || file === COMPILED) continue;
    frames.push({ name: (found[1] ?? "").slice(0, 200), file, line: Number(found[3]), column: Number(found[4]) });
  }
  return frames;
}

/** @param {string} file */
function decoded(file) {
  try {
    return decodeURI(file);
  } catch {
    return file;
  }
}

/**
 * @param {string} file
 * @param {string} code
 * @returns {string | null}
 */
function relative(file, code) {
  return file.startsWith(`${code}/`) ? file.slice(code.length + 1) : null;
}

/**
 * @param {string} file
 * @param {number} line
 */
function sourceLine(file, line) {
  try {
    return fs.readFileSync(file, "utf8").split("\n", line)[line - 1] ?? "";
  } catch {
    return "";
  }
}

/**
 * The place of a syntax error, where the engine told it or the code is still being loaded.
 * @param {Error} error
 * @param {string} code
 * @param {boolean} loading
 * @returns {Partial<Described>}
 */
function syntax(error, code, loading) {
  const { placeIn, locate } = require("./syntax.js");
  /** @type {Partial<Described>} */
  const found = placeIn(String(error.stack)) ?? (loading ? locate(error, code) : null) ?? {};
  if (found.file !== undefined) found.file = relative(decoded(found.file), code) ?? found.file;
  if (/import statement outside a module|Unexpected token 'export'/.test(error.message)) {
    found.hint = 'name the file .mjs, or put "type": "module" into package.json';
  }
  return found;
}

/**
 * What to do about an import that leads nowhere, and the line that holds it.
 * @param {Error & { code?: unknown }} error
 * @param {string} code
 * @returns {Partial<Described> | null}
 */
function missingModule(error, code) {
  if (error.code !== "ERR_MODULE_NOT_FOUND" && error.code !== "MODULE_NOT_FOUND") return null;
  const wanted = /^Cannot find (?:package|module) '([^']+)'/.exec(error.message)?.[1];
  const from = /imported from (\/[^\n]+)$/.exec(error.message)?.[1] ?? /\n- (\/[^\n]+)/.exec(error.message)?.[1];
  /** @type {Partial<Described>} */
  const found = { message: error.message.split("\n")[0].replaceAll(`${code}/`, "") };
  const importer = from === undefined ? null : relative(from, code);
  if (wanted === undefined) return found;
  if (from !== undefined && importer !== null) {
    found.file = importer;
    found.line = lineWith(from, relative(wanted, code) ?? wanted) ?? undefined;
  }
  found.hint = require("./hints.js").forMissingModule(wanted, importer, code);
  return found;
}

/**
 * @param {string} file
 * @param {string} wanted
 * @returns {number | null}
 */
function lineWith(file, wanted) {
  try {
    const name = wanted.slice(wanted.lastIndexOf("/") + 1);
    const at = fs
      .readFileSync(file, "utf8")
      .split("\n")
      .findIndex((line) => /\b(?:import|require|from)\b/.test(line) && line.includes(name));
    return at < 0 ? null : at + 1;
  } catch {
    return null;
  }
}

/**
 * Small enough for a frame.
 * @param {Described} found
 * @returns {Described}
 */
function cutAll(found) {
  const cut = (/** @type {unknown} */ value) =>
    typeof value === "string" && value.length > MESSAGE_MAX ? `${value.slice(0, MESSAGE_MAX)} [cut]` : value;
  return /** @type {Described} */ (Object.fromEntries(Object.entries(found).map(([key, value]) => [key, cut(value)])));
}

module.exports = { MESSAGE_MAX, LoadError, BadReply, Unserializable, ProcessExit, describe, placed };
