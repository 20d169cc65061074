// @ts-check
// Next steps for imports that lead nowhere. Loaded only when something has gone wrong.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const dialect = require("./dialect.js");
const { sources } = require("./loading.js");

const PACKAGE = /^(?:@[a-z0-9~-][\w.~-]*\/)?[a-z0-9~-][\w.~-]*$/;
const LOCKS = ["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock"];

/**
 * What to do about it. Never the name of a file of the function's own as a package: on a registry it is somebody else's.
 * @param {string} wanted what the import names
 * @param {string | null} importer the file that imports it, in the bundle
 * @param {string} code the directory of the user's files
 * @returns {string}
 */
function forMissingModule(wanted, importer, code) {
  if (/^[./]/.test(wanted)) return ofPath(wanted, code);
  const own = ownFile(wanted, importer, code);
  if (own !== null) return own;
  const name = wanted.startsWith("@") ? wanted.split("/", 2).join("/") : wanted.split("/", 1)[0];
  if (!PACKAGE.test(name)) {
    return "aliases of paths are those of a compiler or bundler: write a relative path, or deploy what it has built";
  }
  const lock = LOCKS.find((each) => fs.existsSync(path.join(code, each)));
  if (lock !== undefined && fs.existsSync(path.join(code, "node_modules"))) {
    return `node_modules is in the bundle, so that ${lock} is not installed: remove one of the two, or add ${name} there`;
  }
  return dialect.installing(name);
}

/**
 * @param {string} wanted
 * @param {string} code
 */
function ofPath(wanted, code) {
  const base = wanted.startsWith(`${code}/`) ? wanted : null;
  if (base !== null && [".ts", ".mts", ".cts"].some((suffix) => fs.existsSync(base.replace(dialect.source, "") + suffix))) {
    return dialect.typeScript;
  }
  return "the path is relative to the file that names it; an import needs the file's suffix";
}

/**
 * The place of a file of the function's own that was named as a package is.
 * @param {string} wanted
 * @param {string | null} importer
 * @param {string} code
 * @returns {string | null}
 */
function ownFile(wanted, importer, code) {
  const plain = wanted.replace(dialect.source, "");
  const [first] = plain.split("/", 1);
  /** @param {string} file */
  const fromImporter = (file) => {
    const there = path.posix.relative(path.posix.dirname(importer ?? "index.js"), file);
    return there.startsWith(".") ? there : `./${there}`;
  };
  for (const file of sources(code, "", 4)) {
    const shown = file.replaceAll("\\", "/");
    const name = shown.replace(dialect.source, "");
    const isFile = [name, name.replace(/\/index$/, "")].some((way) => way === plain || way.endsWith(`/${plain}`));
    const isFolder = shown.startsWith(`${first}/`);
    if (file !== shown && (isFile || isFolder)) {
      return `the bundle holds a file named \`${file}\`: pack it with / between folder and file`;
    }
    if (isFile) return `\`${shown}\` is in the bundle: write \`${fromImporter(shown)}\``;
    // The engine tells only the first part of such a name.
    if (isFolder) return `\`${first}/\` is a folder of the bundle: begin with \`${fromImporter(first)}/\``;
  }
  return null;
}

module.exports = { forMissingModule };
