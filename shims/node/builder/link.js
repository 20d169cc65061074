// @ts-check
// Frames over descriptor 3, and the connections to the outside that they carry.
"use strict";

const { Socket } = require("node:net");

const Kind = Object.freeze({
  JOB: 0x01,
  CONNECTED: 0x02,
  REFUSED: 0x03,
  DATA: 0x04,
  CLOSE: 0x05,
  WINDOW: 0x06,
  OPEN: 0x81,
  SEND: 0x84,
  CLOSED: 0x85,
  TAKEN: 0x86,
  LOG: 0x87,
  FILE: 0x88,
  CONTENT: 0x89,
  DONE: 0x8a,
  FAILED: 0x8b,
});
const HEADER_LEN = 12;
const CHUNK_LEN = 32 << 10;
/** Bytes that either side of a connection may send before it is told that some were taken. */
const WINDOW_LEN = 256 << 10;

/** The server does not connect there; the text says why. */
class Refused extends Error {}

/** One connection to the outside, by way of the server. */
class Tunnel {
  /**
   * @param {Link} link
   * @param {number} stream
   */
  constructor(link, stream) {
    this.link = link;
    this.stream = stream;
    this.credit = WINDOW_LEN;
    /** @type {(() => void) | null} */
    this.more = null;
    /** @type {(data: Buffer) => void} */
    this.onData = () => {};
    this.onClose = () => {};
    /** @type {Promise<void>} */
    this.opened = new Promise((resolve, reject) => {
      this.accept = resolve;
      this.refuse = reject;
    });
  }

  /**
   * Sends as fast as the server takes it.
   * @param {Buffer} data
   */
  async send(data) {
    for (let at = 0; at < data.length; at += CHUNK_LEN) {
      const part = data.subarray(at, at + CHUNK_LEN);
      while (this.credit < part.length) {
        await new Promise((resolve) => {
          this.more = () => resolve(undefined);
        });
      }
      this.credit -= part.length;
      await this.link.send(Kind.SEND, this.stream, part);
    }
  }

  /**
   * Lets the server send so much more.
   * @param {number} size
   */
  taken(size) {
    const payload = Buffer.allocUnsafe(4);
    payload.writeUInt32LE(size);
    if (this.link.tunnels.has(this.stream)) this.link.send(Kind.TAKEN, this.stream, payload);
  }

  /** Tells the server that nobody needs it any more. */
  close() {
    if (this.link.tunnels.delete(this.stream)) this.link.send(Kind.CLOSED, this.stream, Buffer.alloc(0));
  }
}

/** The socket to the server. */
class Link {
  constructor() {
    this.socket = new Socket({ fd: 3, readable: true, writable: true });
    this.rest = Buffer.alloc(0);
    /** @type {Map<number, Tunnel>} */
    this.tunnels = new Map();
    this.last = 0;
    /** @type {Promise<Buffer>} */
    this.job = new Promise((resolve) => {
      this.onJob = resolve;
    });
    this.socket.on("data", (data) => this.#take(data));
    // Whoever could be told is gone.
    for (const event of ["error", "close"]) this.socket.on(event, () => process.exit(0));
  }

  /**
   * Sends one frame; resolved when the server has room for more.
   * @param {number} kind
   * @param {number} stream
   * @param {Uint8Array} payload
   * @returns {Promise<void>}
   */
  send(kind, stream, payload) {
    const header = Buffer.alloc(HEADER_LEN);
    header.writeUInt32LE(payload.length, 0);
    header[4] = kind;
    header.writeUInt32LE(stream, 8);
    return new Promise((resolve) => {
      this.socket.write(Buffer.concat([header, payload]), () => resolve());
    });
  }

  /**
   * Connects to the outside.
   * @param {string} host
   * @param {number} port
   * @returns {Promise<Tunnel>}
   */
  async open(host, port) {
    this.last += 1;
    const tunnel = new Tunnel(this, this.last);
    this.tunnels.set(tunnel.stream, tunnel);
    this.send(Kind.OPEN, tunnel.stream, Buffer.from(JSON.stringify({ host, port })));
    await tunnel.opened;
    return tunnel;
  }

  /** Ends after everything has been sent. */
  end() {
    this.socket.end(() => process.exit(0));
  }

  /** @param {Buffer} data */
  #take(data) {
    let bytes = this.rest.length > 0 ? Buffer.concat([this.rest, data]) : data;
    while (bytes.length >= HEADER_LEN && bytes.length >= HEADER_LEN + bytes.readUInt32LE(0)) {
      const end = HEADER_LEN + bytes.readUInt32LE(0);
      this.#on(bytes[4], bytes.readUInt32LE(8), Buffer.from(bytes.subarray(HEADER_LEN, end)));
      bytes = bytes.subarray(end);
    }
    this.rest = Buffer.from(bytes);
  }

  /**
   * @param {number} kind
   * @param {number} stream
   * @param {Buffer} payload
   */
  #on(kind, stream, payload) {
    if (kind === Kind.JOB) this.onJob?.(payload);
    const tunnel = this.tunnels.get(stream);
    if (tunnel === undefined) return;
    if (kind === Kind.CONNECTED) tunnel.accept?.();
    else if (kind === Kind.DATA) tunnel.onData(payload);
    else if (kind === Kind.REFUSED) {
      this.tunnels.delete(stream);
      tunnel.refuse?.(new Refused(payload.toString()));
    } else if (kind === Kind.CLOSE) {
      this.tunnels.delete(stream);
      tunnel.onClose();
    } else if (kind === Kind.WINDOW) {
      tunnel.credit += payload.readUInt32LE(0);
      tunnel.more?.();
    }
  }
}

module.exports = { Kind, Link, Refused, Tunnel };
