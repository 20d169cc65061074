// @ts-check
// Loads the modules of the shim from one file with their compiled code, where the seal has left both.
//
// To find, read and compile each of them takes a third of a millisecond, and each of their functions is compiled once more
// when it is called first.
"use strict";

const fs = require("node:fs");

const SOURCE = `${__dirname}/compiled/modules.js`;
const CODE = `${__dirname}/compiled/modules.code`;
/** What stacks call the script. Compiled code keeps the name it was compiled under, which was at another place. */
const NAME = "faas_shim/compiled/modules.js";
/** They are here already, or do what only a file by itself can. */
const APART = ["builtins.js", "together.js", "importing.js"];

/**
 * @typedef {(module: { exports: any }, exports: object, require: (name: string) => any, directory: string,
 *   file: string) => void} Definition
 */

/**
 * A module of the shim, or of Node.
 * @param {string} name
 */
function required(name) {
  const script = compiled();
  return script === null ? require(name) : loader(script)(name);
}

/** The script of all modules, if it was made here. Code that V8 does not take is compiled anew. */
function compiled() {
  let source;
  let code;
  try {
    source = fs.readFileSync(SOURCE, "latin1");
    code = fs.readFileSync(CODE);
  } catch {
    return null;
  }
  return scriptOf(source, code);
}

/**
 * @param {string} source
 * @param {Buffer} [code]
 */
function scriptOf(source, code) {
  const { Script } = require("node:vm");
  return new Script(source, { filename: NAME, cachedData: code });
}

/**
 * @param {import("node:vm").Script} script
 * @returns {(name: string) => any}
 */
function loader(script) {
  /** @type {Record<string, Definition>} */
  const definitions = script.runInThisContext();
  /** @type {Map<string, { exports: any }>} */
  const made = new Map();
  const load = (/** @type {string} */ name) => {
    if (!Object.hasOwn(definitions, name)) return require(name);
    let module = made.get(name);
    if (module === undefined) {
      module = { exports: {} };
      made.set(name, module);
      definitions[name](module, module.exports, load, __dirname, `${__dirname}/${name.slice(2)}`);
    }
    return module.exports;
  };
  return load;
}

/** The source of that script, in ASCII: V8 holds it in half the memory, and it is read without being decoded. */
function sourceOfAll() {
  const names = fs.readdirSync(__dirname).filter((name) => name.endsWith(".js") && !APART.includes(name));
  const definitions = names.sort().map((name) => {
    const text = fs.readFileSync(`${__dirname}/${name}`, "utf8");
    if (Buffer.byteLength(text) > text.length) throw new Error(`${name} is not ASCII`);
    return `"./${name}": function (module, exports, require, __dirname, __filename) {${text}}`;
  });
  return `({\n${definitions.join(",\n")}\n})`;
}

module.exports = { CODE, NAME, SOURCE, loader, required, scriptOf, sourceOfAll };
