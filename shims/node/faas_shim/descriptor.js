// @ts-check
// Reads and writes a file descriptor without the event loop.
"use strict";

const fs = require("node:fs");

/**
 * @param {number} fd
 * @param {Buffer} buffer
 * @returns {number} bytes read; 0 at the end
 */
function read(fd, buffer) {
  return fs.readSync(fd, buffer, 0, buffer.length, null);
}

/**
 * Writes what the descriptor takes at once. An error's `code` is EAGAIN where that is nothing.
 * @param {number} fd
 * @param {Buffer} bytes
 * @param {number} from
 * @returns {number} bytes written
 */
function write(fd, bytes, from) {
  return fs.writeSync(fd, bytes, from, bytes.length - from, null);
}

module.exports = { read, write };
