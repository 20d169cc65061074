// @ts-check
// Frames over the inherited socket. The server's `faas_proto::frame` is the source of truth.
"use strict";

const descriptor = require("./descriptor.js");

const PROTOCOL_VERSION = 3;
const CHANNEL_FD = 3;
const HEADER_LEN = 12;
const PAYLOAD_MAX = 1 << 20;
const CHUNK_LEN = 256 << 10;
/** Bytes of a reply's body that may be sent before the server says that some were taken. */
const WINDOW_LEN = 256 << 10;
/** Bytes that may wait for the server before a stream stops producing more. */
const BACKLOG_MAX = 512 << 10;
const READ_LEN = 256 << 10;

const Kind = Object.freeze({
  INIT: 0x01,
  INVOKE: 0x02,
  BODY: 0x03,
  CANCEL: 0x04,
  PING: 0x05,
  SHUTDOWN: 0x06,
  WINDOW: 0x07,
  PUBLISHED: 0x08,
  HELLO: 0x80,
  READY: 0x81,
  FAILED: 0x82,
  HEAD: 0x83,
  CHUNK: 0x84,
  END: 0x85,
  LOG: 0x86,
  PONG: 0x87,
  CREDIT: 0x88,
  REPLY: 0x89,
  PUBLISH: 0x8a,
  DEBUGGER: 0x8b,
});

/**
 * The payload is a view into the reader's buffer: whoever keeps it copies it.
 * @typedef {{ kind: number, end: boolean, stream: number, payload: Buffer }} Frame
 */

/**
 * The JSON of a frame. The server takes no lone surrogate, not even as the escape that it is written as here.
 * @param {unknown} value
 * @returns {string}
 */
function frameJson(value) {
  const text = JSON.stringify(value);
  if (!text.includes("\\ud")) return text;
  return text.replace(/\\\\|\\ud[89a-f][0-9a-f]{2}/g, (found) => (found === "\\\\" ? found : "\ufffd"));
}

class ChannelClosed extends Error {}

class Channel {
  constructor(fd = CHANNEL_FD) {
    this.fd = fd;
    /** @type {import("node:net").Socket | null} */
    this.socket = null;
    /** Bytes of a frame that has not come completely. */
    this.rest = Buffer.alloc(0);
    /** @type {Array<() => void>} */
    this.waiting = [];
  }

  /**
   * Waits for one frame without an event loop; only before `listen`.
   * @returns {Frame}
   */
  receive() {
    const buffer = Buffer.allocUnsafe(READ_LEN);
    for (;;) {
      const frame = this.#cut(this.rest, 0);
      if (frame !== null) {
        this.rest = this.rest.subarray(HEADER_LEN + frame.payload.length);
        return frame;
      }
      const count = retry(() => descriptor.read(this.fd, buffer));
      if (count === 0) throw new ChannelClosed();
      this.rest = Buffer.concat([this.rest, buffer.subarray(0, count)]);
    }
  }

  /**
   * Hands over every frame from now on, from the event loop.
   * @param {(frame: Frame) => void} onFrame
   * @param {() => void} onClose
   */
  listen(onFrame, onClose) {
    const { Socket } = require("node:net");
    const buffer = Buffer.allocUnsafeSlow(READ_LEN);
    const callback = (/** @type {number} */ count) => {
      this.#take(buffer.subarray(0, count), onFrame, onClose);
      return true;
    };
    // `onread` reads into one buffer, past the machinery of streams.
    const options = /** @type {import("node:net").SocketConstructorOpts} */ ({
      fd: this.fd,
      readable: true,
      writable: true,
      onread: { buffer, callback },
    });
    const socket = new Socket(options);
    this.socket = socket;
    socket.on("error", onClose).on("end", onClose).on("close", onClose);
    socket.on("drain", () => {
      const waiting = this.waiting.splice(0);
      for (const wake of waiting) wake();
    });
    socket.resume();
    // Frames may have come along with init.
    const early = this.rest;
    this.rest = Buffer.alloc(0);
    if (early.length > 0) this.#take(early, onFrame, onClose);
  }

  /**
   * @param {Buffer} data
   * @param {(frame: Frame) => void} onFrame
   * @param {() => void} onClose
   */
  #take(data, onFrame, onClose) {
    const bytes = this.rest.length > 0 ? Buffer.concat([this.rest, data]) : data;
    let at = 0;
    try {
      for (let frame = this.#cut(bytes, at); frame !== null; frame = this.#cut(bytes, at)) {
        at += HEADER_LEN + frame.payload.length;
        onFrame(frame);
      }
    } catch (error) {
      if (!(error instanceof ChannelClosed)) throw error;
      onClose();
      return;
    }
    // What is left is copied, for the buffer is read into again.
    this.rest = at < bytes.length ? Buffer.from(bytes.subarray(at)) : EMPTY;
  }

  /**
   * The frame that begins at `at`, or null when it is not complete.
   * @param {Buffer} bytes
   * @param {number} at
   * @returns {Frame | null}
   */
  #cut(bytes, at) {
    if (bytes.length - at < HEADER_LEN) return null;
    const length = bytes.readUInt32LE(at);
    if (length > PAYLOAD_MAX) throw new ChannelClosed();
    const stop = at + HEADER_LEN + length;
    if (bytes.length < stop) return null;
    const payload = bytes.subarray(at + HEADER_LEN, stop);
    return { kind: bytes[at + 4], end: (bytes[at + 5] & 1) === 1, stream: bytes.readUInt32LE(at + 8), payload };
  }

  /**
   * Sends whole frames: one system call when the server keeps up, the socket's queue when it does not.
   * @param {Buffer} frames
   */
  send(frames) {
    const socket = this.socket;
    if (socket !== null && socket.writableLength > 0) {
      socket.write(frames);
      return;
    }
    let sent = 0;
    while (sent < frames.length) {
      try {
        sent += descriptor.write(this.fd, frames, sent);
      } catch (error) {
        const code = /** @type {NodeJS.ErrnoException} */ (error).code;
        if (code === "EINTR") continue;
        if (code !== "EAGAIN") throw new ChannelClosed();
        if (socket !== null) {
          socket.write(frames.subarray(sent));
          return;
        }
        pause();
      }
    }
  }

  /** Whether a sender should wait with more. */
  get full() {
    return this.socket !== null && this.socket.writableLength > BACKLOG_MAX;
  }

  /** @returns {Promise<void>} resolved when what was queued has gone */
  drained() {
    return new Promise((resolve) => this.waiting.push(resolve));
  }
}

const EMPTY = Buffer.alloc(0);

/**
 * @param {() => number} read
 * @returns {number}
 */
function retry(read) {
  for (;;) {
    try {
      return read();
    } catch (error) {
      const code = /** @type {NodeJS.ErrnoException} */ (error).code;
      if (code === "EAGAIN") pause();
      else if (code !== "EINTR") throw new ChannelClosed();
    }
  }
}

function pause() {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}

/**
 * One frame as bytes.
 * @param {number} kind
 * @param {number} stream
 * @param {string | Uint8Array} payload
 * @param {boolean} [end]
 * @returns {Buffer}
 */
function pack(kind, stream, payload, end = false) {
  const length = typeof payload === "string" ? Buffer.byteLength(payload) : payload.length;
  const frame = Buffer.allocUnsafe(HEADER_LEN + length);
  frame.writeUInt32LE(length, 0);
  frame[4] = kind;
  frame[5] = end ? 1 : 0;
  frame[6] = 0;
  frame[7] = 0;
  frame.writeUInt32LE(stream, 8);
  if (typeof payload === "string") frame.write(payload, HEADER_LEN, "utf8");
  else frame.set(payload, HEADER_LEN);
  return frame;
}

/**
 * A whole reply with its end as one frame.
 * @param {number} stream
 * @param {string} head
 * @param {Uint8Array} body at most CHUNK_LEN long
 * @returns {Buffer}
 */
function packReply(stream, head, body) {
  return packHeaded(Kind.REPLY, stream, head, body);
}

/**
 * An event or a message as one frame.
 * @param {number} stream
 * @param {string} head with the data at most PAYLOAD_MAX - 4 bytes long
 * @param {Uint8Array} data
 * @returns {Buffer}
 */
function packPublication(stream, head, data) {
  return packHeaded(Kind.PUBLISH, stream, head, data);
}

/**
 * @param {number} kind
 * @param {number} stream
 * @param {string} head
 * @param {Uint8Array} body
 */
function packHeaded(kind, stream, head, body) {
  const size = Buffer.byteLength(head);
  const payload = Buffer.allocUnsafe(4 + size + body.length);
  payload.writeUInt32LE(size, 0);
  payload.write(head, 4, "utf8");
  payload.set(body, 4 + size);
  return pack(kind, stream, payload);
}

/**
 * Asks for so many more bytes of a request's body.
 * @param {number} stream
 * @param {number} size
 * @returns {Buffer}
 */
function packCredit(stream, size) {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt32LE(size, 0);
  return pack(Kind.CREDIT, stream, payload);
}

module.exports = {
  PROTOCOL_VERSION,
  PAYLOAD_MAX,
  CHUNK_LEN,
  WINDOW_LEN,
  Kind,
  Channel,
  ChannelClosed,
  frameJson,
  pack,
  packReply,
  packPublication,
  packCredit,
};
