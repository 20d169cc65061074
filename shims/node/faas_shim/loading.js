// @ts-check
// From an entrypoint to what it names.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { loadImports } = require("./builtins.js");
const dialect = require("./dialect.js");
const { LoadError } = require("./errors.js");

const FILES_SHOWN = 8;

/**
 * @param {string} entrypoint `file:name`
 * @param {string} code the directory of the user's files
 * @returns {Promise<{ target: unknown, file: string }>}
 */
async function load(entrypoint, code) {
  const colon = entrypoint.lastIndexOf(":");
  const base = entrypoint.slice(0, colon);
  const symbol = entrypoint.slice(colon + 1);
  const file = find(base, code) ?? find(base.replaceAll(".", "/"), code);
  if (file === null) throw noFile(base, symbol, code);
  process.argv[1] = path.join(code, file);
  const exported = await open(path.join(code, file), code);
  return { target: pick(exported, symbol, base, file), file };
}

/**
 * @param {string} base
 * @param {string} code
 * @returns {string | null}
 */
function find(base, code) {
  const { suffixes } = dialect;
  const names = suffixes.some((suffix) => base.endsWith(suffix)) ? [base] : [];
  for (const suffix of suffixes) names.push(base + suffix);
  for (const suffix of suffixes) names.push(`${base}/index${suffix}`);
  return names.find((name) => isFile(path.join(code, name))) ?? null;
}

/** @param {string} file */
function isFile(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

/**
 * The exports of a module. What is CommonJS is required, which takes half the time of an import.
 * @param {string} file
 * @param {string} code
 * @returns {Promise<Record<string, unknown>>}
 */
async function open(file, code) {
  if (isModule(file, code)) {
    await loadImports();
    return require("./importing.js")(`file://${encodeURI(file).replace(/[?#]/g, encodeURIComponent)}`);
  }
  const { createRequire } = require("node:module");
  const exported = createRequire(file)(file);
  const names = typeof exported === "object" || typeof exported === "function" ? exported : null;
  if (names?.__esModule) return names;
  // As an import would see it; properties of a function are its own affair, but may be what is named.
  return new Proxy({ default: exported }, {
    get: (own, key) => (key === "default" ? own.default : names?.[key]),
    has: (_, key) => key === "default" || (names !== null && key in names),
    ownKeys: () => [...new Set(["default", ...(names === null ? [] : Object.keys(names))])],
    getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
  });
}

/**
 * @param {string} file
 * @param {string} code
 */
function isModule(file, code) {
  if (/\.m[jt]s$/.test(file)) return true;
  if (/\.c[jt]s$/.test(file)) return false;
  for (let at = path.dirname(file); at.startsWith(code); at = path.dirname(at)) {
    const manifest = path.join(at, "package.json");
    if (isFile(manifest)) {
      const type = typeOf(manifest, code);
      if (type !== undefined) return type === "module";
      break;
    }
  }
  // Newer versions look for the syntax as well.
  return dialect.isModule(fs.readFileSync(file, "utf8"));
}

/**
 * @param {string} manifest
 * @param {string} code
 * @returns {unknown}
 */
function typeOf(manifest, code) {
  try {
    // Node itself takes a byte order mark here.
    return JSON.parse(fs.readFileSync(manifest, "utf8").replace(/^\ufeff/, "")).type;
  } catch (error) {
    const shown = path.relative(code, manifest);
    const message = /** @type {Error} */ (error).message;
    throw new LoadError("InvalidPackage", `${shown} is not JSON: ${message}`, "mend package.json", shown);
  }
}

/**
 * @param {Record<string, unknown>} exported
 * @param {string} symbol
 * @param {string} base
 * @param {string} file
 * @returns {unknown}
 */
function pick(exported, symbol, base, file) {
  const [first, ...rest] = symbol.split(".");
  /** @type {unknown} */
  let target;
  if (first in exported) target = exported[first];
  // `export default` needs no name in the entrypoint.
  else if (first === "handler" && "default" in exported && isServable(exported.default)) target = exported.default;
  else throw noSymbol(exported, first, base, file);
  for (const part of rest) {
    const owner = /** @type {Record<string, unknown>} */ (Object(target));
    if (!(part in owner)) throw noSymbol(owner, part, base, file);
    target = typeof owner[part] === "function" ? /** @type {Function} */ (owner[part]).bind(owner) : owner[part];
  }
  return target;
}

/** @param {unknown} value */
function isServable(value) {
  if (typeof value === "function") return true;
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "fetch") === "function";
}

/**
 * @param {string} base
 * @param {string} symbol
 * @param {string} code
 */
function noFile(base, symbol, code) {
  const found = sources(code, "", 3);
  const meant = closest(base, found.map((name) => name.replace(dialect.source, "")));
  const shown = dialect.suffixes.slice(0, 3);
  let hint = `the bundle holds no ${listed(shown)} file`;
  if (meant !== null) hint = `did you mean \`${meant}:${symbol}\`?`;
  else if (found.length > 0) {
    hint = `files found: ${found.slice(0, FILES_SHOWN).join(", ")}${found.length > FILES_SHOWN ? ", ..." : ""}`;
  }
  const message = `there is no file ${listed(shown.map((suffix) => `\`${base}${suffix}\``))} in the bundle`;
  return new LoadError("EntrypointNotFound", message, hint);
}

/**
 * @param {string} code
 * @param {string} below
 * @param {number} depth
 * @returns {string[]}
 */
function sources(code, below, depth) {
  /** @type {string[]} */
  const found = [];
  const entries = fs.readdirSync(path.join(code, below), { withFileTypes: true }).slice(0, 500);
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.isFile() && dialect.source.test(entry.name)) found.push(below + entry.name);
    else if (entry.isDirectory() && depth > 0 && entry.name !== "node_modules" && !entry.name.startsWith(".")) {
      found.push(...sources(code, `${below}${entry.name}/`, depth - 1));
    }
  }
  return found.slice(0, 500);
}

/** @param {string[]} words */
function listed(words) {
  return `${words.slice(0, -1).join(", ")} or ${words[words.length - 1]}`;
}

/**
 * @param {object} owner
 * @param {string} name
 * @param {string} base
 * @param {string} file
 */
function noSymbol(owner, name, base, file) {
  const names = Object.keys(owner).filter((key) => isServable(Reflect.get(owner, key)));
  const meant = closest(name, names);
  let hint = `write \`export function ${name}(event, context)\` in ${file}`;
  if (meant !== null) hint = `did you mean \`${base}:${meant}\`?`;
  else if (names.length > 0) hint = `functions exported: ${names.slice(0, FILES_SHOWN).join(", ")}`;
  return new LoadError("EntrypointNotFound", `\`${file}\` exports no \`${name}\``, hint, file);
}

/**
 * The known name that was probably meant.
 * @param {string} name
 * @param {string[]} known
 * @returns {string | null}
 */
function closest(name, known) {
  let best = null;
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const each of known) {
    const far = distance(name.toLowerCase(), each.toLowerCase());
    if (far < least) [best, least] = [each, far];
  }
  return best;
}

/**
 * Edits between two words; two neighbours swapped are one.
 * @param {string} a
 * @param {string} b
 */
function distance(a, b) {
  /** @type {number[][]} */
  const rows = [Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= a.length; i += 1) {
    rows.push([i]);
    for (let j = 1; j <= b.length; j += 1) {
      const change = rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      rows[i][j] = Math.min(change, rows[i - 1][j] + 1, rows[i][j - 1] + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.length][b.length];
}

module.exports = { load, sources };
