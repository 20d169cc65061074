// @ts-check
// What user code prints, cut into lines and sent as log frames that name their run.
"use strict";

const { AsyncLocalStorage } = require("node:async_hooks");
const { Writable } = require("node:stream");
const dialect = require("./dialect.js");
const { Kind, ChannelClosed, pack } = require("./protocol.js");

const Level = Object.freeze({ DEBUG: 0, INFO: 1, WARN: 2, ERROR: 3 });
const STDOUT = 0;
const STDERR = 1;
const FIXED_LEN = 12;
const CUT_MARK = " [cut]";
const WHOLE = Object.freeze({});
// What a line takes of the budget besides its text; the server counts alike.
const LINE_COST = 64;

/** The log of one run, or of the instance (stream 0): what it may still write, and its unfinished lines. */
class RunLog {
  /**
   * @param {number} stream
   * @param {number} budget
   */
  constructor(stream, budget) {
    this.stream = stream;
    this.left = budget;
    this.dropped = 0;
    /** Characters of the unfinished line that were sent, by origin. */
    this.partial = [0, 0];
    this.skipping = [false, false];
    /** @type {Record<number, import("node:string_decoder").StringDecoder> | null} bytes of characters that go on */
    this.rests = null;
    /** @type {((error: unknown) => boolean) | null} ends its run with an error, if it has not ended */
    this.fail = null;
  }
}

/** Sends each line, and each part of one, when it is written: a process that is killed has no time to send more. */
class Sink {
  /**
   * @param {import("./protocol.js").Channel} channel
   * @param {number} budget
   * @param {number} lineMax
   */
  constructor(channel, budget, lineMax) {
    this.channel = channel;
    this.budget = budget;
    this.lineMax = lineMax;
    this.instance = new RunLog(0, budget);
    /** @type {AsyncLocalStorage<RunLog>} */
    this.storage = new AsyncLocalStorage();
    /** @type {Buffer[]} */
    this.pending = [];
  }

  /** The log of the run that is writing. */
  current() {
    return this.storage.getStore() ?? this.instance;
  }

  /** @param {number} stream */
  begin(stream) {
    this.instance.left = this.budget;
    return new RunLog(stream, this.budget);
  }

  /**
   * Ends a run's unfinished lines. What its leftovers write afterwards is the instance's.
   * @param {RunLog} log
   */
  finish(log) {
    for (const origin of [STDOUT, STDERR]) {
      const rest = log.rests?.[origin]?.end() ?? "";
      if (rest !== "" && !log.skipping[origin]) {
        this.emit(log, origin === STDOUT ? Level.INFO : Level.WARN, origin, rest, { held: true });
      }
      log.partial[origin] = 0;
      log.skipping[origin] = false;
    }
    log.stream = 0;
    log.fail = null;
  }

  /**
   * Adds one line, or a part of one; `held` leaves it to the sender of the run's end.
   * @param {RunLog} log
   * @param {number} level
   * @param {number} origin
   * @param {string} text
   * @param {{ held?: boolean, unfinished?: boolean }} [how]
   */
  emit(log, level, origin, text, { held = false, unfinished = false } = WHOLE) {
    if (log.left <= 0) {
      if (!unfinished) log.dropped += 1;
      return;
    }
    const data = this.#bounded(text);
    log.left -= data.length + (unfinished ? 0 : LINE_COST);
    const payload = Buffer.allocUnsafe(FIXED_LEN + data.length);
    payload[0] = level;
    payload[1] = origin;
    payload[2] = unfinished ? 1 : 0;
    payload[3] = 0;
    payload.writeBigUInt64LE(BigInt(Date.now()), 4);
    payload.set(data, FIXED_LEN);
    this.pending.push(pack(Kind.LOG, log.stream, payload));
    if (!held) this.flush();
  }

  /** @param {string} text */
  #bounded(text) {
    const data = Buffer.from(text.length > this.lineMax ? text.slice(0, this.lineMax) : text);
    if (data.length <= this.lineMax && text.length <= this.lineMax) return data;
    let stop = this.lineMax - CUT_MARK.length;
    // Not in the middle of a character.
    while (stop > 0 && (data[stop] & 0xc0) === 0x80) stop -= 1;
    return Buffer.concat([data.subarray(0, stop), Buffer.from(CUT_MARK)]);
  }

  /**
   * All pending frames, for a sender that has more to say.
   * @returns {Buffer[]}
   */
  take() {
    const pending = this.pending;
    if (pending.length > 0) this.pending = [];
    return pending;
  }

  flush() {
    const pending = this.take();
    if (pending.length === 0) return;
    try {
      this.channel.send(pending.length === 1 ? pending[0] : Buffer.concat(pending));
    } catch (error) {
      if (!(error instanceof ChannelClosed)) throw error;
    }
  }
}

/** Stands in for process.stdout and process.stderr. */
class LogStream extends Writable {
  /**
   * @param {Sink} sink
   * @param {number} origin
   */
  constructor(sink, origin) {
    super({ decodeStrings: false });
    this.sink = sink;
    this.origin = origin;
    this.fd = /** @type {any} */ (origin + 1);
    /** @type {number} */
    this.level = origin === STDOUT ? Level.INFO : Level.WARN;
  }

  /**
   * @param {any} chunk
   * @param {any} [encoding]
   * @param {any} [callback]
   * @returns {boolean}
   */
  write(chunk, encoding, callback) {
    const done = typeof encoding === "function" ? encoding : callback;
    if (typeof chunk !== "string" && !(chunk instanceof Uint8Array)) {
      throw new TypeError('The "chunk" argument must be of type string or an instance of Buffer or Uint8Array');
    }
    const log = this.sink.current();
    if (typeof chunk !== "string") this.#take(log, this.#decoded(log, chunk));
    else if (typeof encoding === "string" && !/^utf-?8$/i.test(encoding)) {
      this.#take(log, this.#decoded(log, Buffer.from(chunk, /** @type {BufferEncoding} */ (encoding))));
    } else this.#take(log, chunk);
    if (typeof done === "function") process.nextTick(done);
    return true;
  }

  /**
   * Bytes of UTF-8 as text; a character may go on in the next write.
   * @param {RunLog} log
   * @param {Uint8Array} bytes
   */
  #decoded(log, bytes) {
    const { StringDecoder } = require("node:string_decoder");
    log.rests ??= {};
    const decoder = (log.rests[this.origin] ??= new StringDecoder("utf8"));
    return decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  /**
   * @param {RunLog} log
   * @param {string} text
   */
  #take(log, text) {
    const { sink, origin } = this;
    const lines = text.split("\n");
    const rest = lines.pop() ?? "";
    for (const line of lines) {
      log.partial[origin] = 0;
      if (log.skipping[origin]) log.skipping[origin] = false;
      else sink.emit(log, this.level, origin, line);
    }
    if (rest === "" || log.skipping[origin]) return;
    const length = log.partial[origin] + rest.length;
    log.partial[origin] = length;
    log.skipping[origin] = length > sink.lineMax;
    sink.emit(log, this.level, origin, rest, { unfinished: !log.skipping[origin] });
  }

  /**
   * @param {any} [chunk]
   * @param {any} [encoding]
   * @param {any} [callback]
   */
  end(chunk, encoding, callback) {
    // As with the process's own: nobody can close them.
    if (chunk !== undefined && chunk !== null && typeof chunk !== "function") this.write(chunk, encoding, callback);
    return this;
  }
}

/**
 * Puts the log streams in place of the process's own, and gives the methods of `console` their levels.
 * @param {Sink} sink
 */
function install(sink) {
  const stdout = new LogStream(sink, STDOUT);
  const stderr = new LogStream(sink, STDERR);
  Object.defineProperty(process, "stdout", { configurable: true, enumerable: true, get: () => stdout });
  Object.defineProperty(process, "stderr", { configurable: true, enumerable: true, get: () => stderr });
  dialect.redirect(stdout, stderr);
  /** @type {Array<["debug" | "error" | "trace" | "assert", LogStream, number]>} */
  const levels = [
    ["debug", stdout, Level.DEBUG],
    ["error", stderr, Level.ERROR],
    ["assert", stderr, Level.ERROR],
    ["trace", stderr, Level.DEBUG],
  ];
  for (const [name, stream, level] of levels) {
    const write = /** @type {(...values: unknown[]) => void} */ (console[name]);
    // `console` writes before it returns, so the stream's level can stand for the call.
    console[name] = (/** @type {unknown[]} */ ...values) => {
      const before = stream.level;
      stream.level = level;
      try {
        write.apply(console, values);
      } finally {
        stream.level = before;
      }
    };
  }
}

module.exports = { Level, STDERR, RunLog, Sink, install };
