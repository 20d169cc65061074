// @ts-check
// Hands a directory over: regular files only, each path followed by its content.
"use strict";

const fs = require("node:fs");
const { Kind } = require("./link.js");

const CHUNK_LEN = 256 << 10;

/**
 * Sends every regular file below a directory. Links and devices are left out, and counted.
 * @param {import("./link.js").Link} link
 * @param {string} root
 * @returns {Promise<Map<string, number>>} bytes of each package's own files, by its path
 */
async function sendTree(link, root) {
  /** @type {Map<string, number>} */
  const sizes = new Map();
  let leftOut = 0;
  const todo = [""];
  for (let below = todo.pop(); below !== undefined; below = todo.pop()) {
    const entries = fs.readdirSync(`${root}/${below}`, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const file = below + entry.name;
      if (entry.isDirectory()) todo.push(`${file}/`);
      else if (entry.isFile()) {
        const size = await sendFile(link, root, file);
        const owner = packageOf(file);
        sizes.set(owner, (sizes.get(owner) ?? 0) + size);
      } else leftOut += 1;
    }
  }
  if (leftOut > 0) {
    await link.send(Kind.LOG, 0, Buffer.from(`left out ${leftOut} symbolic links and special files`));
  }
  return sizes;
}

/**
 * `a/node_modules/@b/c` for `a/node_modules/@b/c/lib/d.js`.
 * @param {string} file
 */
function packageOf(file) {
  const found = /^(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(file);
  return found === null ? file : found[0];
}

/**
 * @param {import("./link.js").Link} link
 * @param {string} root
 * @param {string} file
 */
async function sendFile(link, root, file) {
  const handle = fs.openSync(`${root}/${file}`, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    const { size, mode } = fs.fstatSync(handle);
    const head = { path: file, size, executable: (mode & 0o111) !== 0 };
    await link.send(Kind.FILE, 0, Buffer.from(JSON.stringify(head)));
    for (let left = size; left > 0; ) {
      const chunk = Buffer.allocUnsafe(Math.min(left, CHUNK_LEN));
      const count = fs.readSync(handle, chunk);
      if (count === 0) throw new Error(`${file} became shorter while it was read`);
      await link.send(Kind.CONTENT, 0, chunk.subarray(0, count));
      left -= count;
    }
    return size;
  } finally {
    fs.closeSync(handle);
  }
}

module.exports = { sendTree };
