// @ts-check
// Reads and writes a file descriptor without the event loop. Deno numbers its resources itself and has no call for
// descriptors that it did not open, so these are the C library's.
"use strict";

const { symbols: libc } = Deno.dlopen("libc.so.6", {
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  poll: { parameters: ["buffer", "u64", "i32"], result: "i32" },
});
const READABLE = 1;
const WRITABLE = 4;
/** A `struct pollfd`: the descriptor, and events beside returned events. */
const question = new Int32Array(2);

/**
 * @param {number} fd
 * @param {number} events
 * @param {number} timeout in milliseconds; for ever where it is negative
 * @returns {number} what holds of it
 */
function poll(fd, events, timeout) {
  question[0] = fd;
  question[1] = events;
  return libc.poll(question, 1n, timeout) > 0 ? question[1] >> 16 : 0;
}

/**
 * Waits until there is something.
 * @param {number} fd
 * @param {Buffer} buffer
 * @returns {number} bytes read; 0 at the end
 */
function read(fd, buffer) {
  for (;;) {
    if (poll(fd, READABLE, -1) === 0) continue;
    const count = Number(libc.read(fd, buffer, BigInt(buffer.length)));
    if (count >= 0) return count;
  }
}

/**
 * Writes what the descriptor takes at once. An error's `code` is EAGAIN where that is nothing.
 * @param {number} fd
 * @param {Buffer} bytes
 * @param {number} from
 * @returns {number} bytes written
 */
function write(fd, bytes, from) {
  const rest = from === 0 ? bytes : bytes.subarray(from);
  const count = Number(libc.write(fd, rest, BigInt(rest.length)));
  if (count >= 0) return count;
  const code = (poll(fd, WRITABLE, 0) & ~WRITABLE) === 0 ? "EAGAIN" : "EPIPE";
  throw Object.assign(new Error(code), { code });
}

module.exports = { read, write };
