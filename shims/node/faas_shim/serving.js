// @ts-check
// Serves invocations: each begins with its frames and ends with one end frame, whatever happens.
"use strict";

const { FETCH } = require("./contracts.js");
const { Context, parseJson, webRequest } = require("./context.js");
const { MESSAGE_MAX, BadReply, describe, placed } = require("./errors.js");
const { CHUNK_LEN, ChannelClosed, Kind, WINDOW_LEN } = require("./protocol.js");
const { frameJson, pack, packPublication, packReply } = require("./protocol.js");
const { gone, outside } = require("./publishing.js");
const { chunkOf, fromValue, headOf } = require("./replies.js");
const { Upload } = require("./upload.js");

const EMPTY = Buffer.alloc(0);

/**
 * @typedef {import("./context.js").InvokeHead} InvokeHead
 * @typedef {{ function: string, version: number, memory_mb: number, body_max: number, code: string }} Settings
 * @typedef {{ frame: Buffer, resolve: (payload: string) => void, reject: (error: Error) => void }} Asked
 */

/** The request does not fit; the message says why. */
class Rejected extends Error {}

class Call {
  /**
   * @param {number} stream
   * @param {import("./logs.js").RunLog} log
   */
  constructor(stream, log) {
    this.stream = stream;
    this.log = log;
    this.ended = false;
    /** @type {AbortController | null} */
    this.controller = null;
    /** @type {AsyncIterator<unknown> | Iterator<unknown> | null} */
    this.items = null;
    /** @type {Upload | null} */
    this.upload = null;
    /** Whether the handler, or the stream that it returned, still runs. */
    this.running = true;
    /** @type {Asked[]} publications, of which the first is on its way */
    this.asked = [];
    /** Bytes of the reply's body that the server takes. */
    this.window = WINDOW_LEN;
    /** @type {(() => void) | null} */
    this.wake = null;
    this.signal = () => {
      this.controller ??= new AbortController();
      return this.controller.signal;
    };
  }

  /** @param {number} bytes the caller has taken so many */
  widen(bytes) {
    this.window += bytes;
    this.wakeUp();
  }

  wakeUp() {
    const wake = this.wake;
    this.wake = null;
    wake?.();
  }

  /** @returns {Promise<void>} resolved when the window may have grown, or nobody listens any more */
  changed() {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }
}

class Server {
  /**
   * @param {import("./protocol.js").Channel} channel
   * @param {import("./logs.js").Sink} sink
   * @param {import("./contracts.js").Contract} contract
   * @param {Settings} settings
   * @param {{ stop: () => void, leave: () => void }} ends the process: at once, or after what the code has registered
   */
  constructor(channel, sink, contract, settings, { stop, leave }) {
    this.channel = channel;
    this.sink = sink;
    this.contract = contract;
    this.settings = settings;
    this.stop = stop;
    this.leave = leave;
    /** @type {Map<number, Call>} */
    this.calls = new Map();
    /** @type {Map<number, { head: InvokeHead, parts: Buffer[] }>} */
    this.bodies = new Map();
    /** Calls that were cancelled and still run, and pings that wait for them to end. */
    this.leaving = new Set();
    /** @type {Buffer[]} */
    this.pings = [];
  }

  /** Serves until the server says shutdown or goes away. */
  run() {
    this.channel.listen((frame) => this.#dispatch(frame), this.stop);
  }

  /** The only call under way, if there is just one. */
  sole() {
    if (this.calls.size !== 1) return null;
    return this.calls.values().next().value?.log ?? null;
  }

  /** @param {import("./protocol.js").Frame} frame */
  #dispatch({ kind, end, stream, payload }) {
    if (kind === Kind.INVOKE) {
      const head = /** @type {InvokeHead} */ (JSON.parse(payload.toString()));
      if (end) this.#begin(stream, head, EMPTY);
      else this.#collect(stream, head);
    } else if (kind === Kind.BODY) this.#body(stream, payload, end);
    else if (kind === Kind.WINDOW) this.calls.get(stream)?.widen(payload.readUInt32LE(0));
    else if (kind === Kind.PUBLISHED) this.#answered(stream, payload.toString());
    else if (kind === Kind.CANCEL) this.#cancel(stream);
    else if (kind === Kind.PING) {
      this.pings.push(Buffer.from(payload));
      this.#answerPings();
    } else if (kind === Kind.SHUTDOWN) this.leave();
  }

  /**
   * Waits for the body; a handler that can read it piece by piece gets it as a stream unless all of it came along.
   * @param {number} stream
   * @param {InvokeHead} head
   */
  #collect(stream, head) {
    this.bodies.set(stream, { head, parts: [] });
    if (this.contract.kind !== FETCH) return;
    queueMicrotask(() => {
      if (!this.bodies.delete(stream)) return;
      this.#begin(stream, head, new Upload(this.channel, stream));
    });
  }

  /**
   * @param {number} stream
   * @param {Buffer} payload
   * @param {boolean} end
   */
  #body(stream, payload, end) {
    const waiting = this.bodies.get(stream);
    if (waiting === undefined) {
      this.calls.get(stream)?.upload?.feed(payload, end);
      return;
    }
    waiting.parts.push(Buffer.from(payload));
    if (!end) return;
    this.bodies.delete(stream);
    const body = waiting.parts.length === 1 ? waiting.parts[0] : Buffer.concat(waiting.parts);
    this.#begin(stream, waiting.head, body);
  }

  /**
   * Publishes or sends something in the name of the call that asks; resolves with the payload of the answer.
   * @param {string} head
   * @param {Uint8Array} data
   * @returns {Promise<string>}
   */
  ask(head, data) {
    const stream = this.sink.storage.getStore()?.stream ?? 0;
    const call = this.calls.get(stream);
    if (call === undefined) return Promise.reject(outside());
    return new Promise((resolve, reject) => {
      call.asked.push({ frame: packPublication(stream, head, data), resolve, reject });
      if (call.asked.length === 1) this.#send([call.asked[0].frame]);
    });
  }

  /**
   * @param {number} stream
   * @param {string} payload
   */
  #answered(stream, payload) {
    const asked = this.calls.get(stream)?.asked;
    asked?.shift()?.resolve(payload);
    if (asked !== undefined && asked.length > 0) this.#send([asked[0].frame]);
  }

  #answerPings() {
    while (this.leaving.size === 0 && this.pings.length > 0) {
      this.#send([pack(Kind.PONG, 0, /** @type {Buffer} */ (this.pings.pop()))]);
    }
  }

  /** @param {Call} call nothing of it runs any more */
  #left(call) {
    call.running = false;
    if (this.leaving.delete(call)) this.#answerPings();
  }

  /**
   * @param {number} stream
   * @param {InvokeHead} head
   * @param {Buffer | Upload} body
   */
  #begin(stream, head, body) {
    const log = this.sink.begin(stream);
    const call = new Call(stream, log);
    if (body instanceof Upload) call.upload = body;
    log.fail = (error) => {
      const open = !call.ended;
      this.#finish(call, [], { error });
      return open;
    };
    this.calls.set(stream, call);
    this.sink.storage.run(log, () => this.#start(call, head, body));
  }

  /**
   * @param {Call} call
   * @param {InvokeHead} head
   * @param {Buffer | Upload} body
   */
  #start(call, head, body) {
    const failed = (/** @type {unknown} */ error) => {
      this.#left(call);
      this.#finish(call, [], { error });
    };
    try {
      const value = this.#invoke(call, head, body);
      if (isThenable(value)) Promise.resolve(value).then((settled) => this.#reply(call, settled)).catch(failed);
      else this.#reply(call, value);
    } catch (error) {
      failed(error);
    }
  }

  /**
   * @param {Call} call
   * @param {InvokeHead} head
   * @param {Buffer | Upload} body
   * @returns {unknown}
   */
  #invoke(call, head, body) {
    const { kind, call: handler } = this.contract;
    if (kind === FETCH || body instanceof Upload) {
      let request;
      try {
        request = webRequest(head, body instanceof Upload ? body.readable : body, call.signal());
      } catch (error) {
        throw new Rejected(`the request has no form as a Request: ${/** @type {Error} */ (error).message}`);
      }
      return handler(request);
    }
    return handler(eventOf(body), new Context(this.settings, head, body, call.signal));
  }

  /**
   * @param {Call} call
   * @param {unknown} value
   */
  #reply(call, value) {
    if (call.ended) return this.#left(call);
    const reply = fromValue(value, this.contract.kind);
    if (reply.items === null && reply.body.length <= CHUNK_LEN) {
      this.#left(call);
      this.#finish(call, [], null, { head: headOf(reply), body: reply.body });
      return undefined;
    }
    this.#check(reply.body.length);
    call.items = reply.items;
    const sending = reply.items === null ? this.#sendLarge(call, reply) : this.#stream(call, reply);
    sending.catch((error) => this.#finish(call, [], { error })).finally(() => this.#left(call));
    return undefined;
  }

  /**
   * Sends a body that is there already but too long for one frame.
   * @param {Call} call
   * @param {import("./replies.js").Reply} reply
   */
  async #sendLarge(call, reply) {
    this.#send([pack(Kind.HEAD, call.stream, headOf(reply, reply.body.length))]);
    for (let rest = reply.body; rest.length > 0; ) {
      const frames = /** @type {Buffer[]} */ ([]);
      rest = this.#cut(call, frames, rest);
      this.#send(frames);
      if (rest.length > 0) await call.changed();
      if (call.ended) return;
      if (this.channel.full) await this.channel.drained();
    }
    this.#finish(call, [], null);
  }

  /**
   * Appends as much of a chunk as the server takes to `frames`.
   * @param {Call} call
   * @param {Buffer[]} frames
   * @param {Uint8Array} chunk
   * @returns {Uint8Array} the rest
   */
  #cut(call, frames, chunk) {
    let at = 0;
    while (at < chunk.length && call.window > 0) {
      const part = chunk.subarray(at, at + Math.min(CHUNK_LEN, call.window));
      frames.push(pack(Kind.CHUNK, call.stream, part));
      call.window -= part.length;
      at += part.length;
    }
    return chunk.subarray(at);
  }

  /**
   * Sends items as they come. What is there at once leaves together with head and end; nothing waits for the next item.
   * @param {Call} call
   * @param {import("./replies.js").Reply} reply
   */
  async #stream(call, reply) {
    const items = /** @type {AsyncIterator<unknown>} */ (reply.items);
    /** @type {Buffer[]} */
    let frames = [];
    let [size, waiting, begun] = [0, 0, false];
    const flush = () => {
      const sent = frames;
      [frames, waiting] = [[], 0];
      if (sent.length > 0 && !call.ended) this.#send(sent);
    };
    /** @type {NodeJS.Immediate | null} */
    let soon = null;
    try {
      for (;;) {
        const { done, value } = await items.next();
        if (call.ended) return;
        if (done) break;
        const [chunk, type] = chunkOf(value);
        if (!begun) {
          begun = true;
          const typed = reply.type ?? (isWeb(reply) ? null : type);
          frames.push(pack(Kind.HEAD, call.stream, headOf({ ...reply, type: typed })));
        }
        size += chunk.length;
        waiting += chunk.length;
        this.#check(size);
        let rest = this.#cut(call, frames, chunk);
        while (rest.length > 0) {
          flush();
          await call.changed();
          if (call.ended) return;
          rest = this.#cut(call, frames, rest);
        }
        if (waiting >= CHUNK_LEN) flush();
        else soon ??= setImmediate(() => {
          soon = null;
          flush();
        });
        if (this.channel.full) await this.channel.drained();
      }
    } catch (error) {
      // What came before the error is the caller's.
      flush();
      throw error;
    } finally {
      if (soon !== null) clearImmediate(soon);
      if (call.items !== null && (call.ended || size > this.settings.body_max)) close(items);
    }
    if (!begun) frames.push(pack(Kind.HEAD, call.stream, headOf(reply)));
    this.#finish(call, frames, null);
  }

  /** @param {number} size */
  #check(size) {
    const most = this.settings.body_max;
    if (size > most) throw new BadReply(`the reply is larger than ${most >> 20} MB`, "reply");
  }

  /** @param {Buffer[]} frames */
  #send(frames) {
    try {
      this.channel.send(Buffer.concat([...this.sink.take(), ...frames]));
    } catch (error) {
      if (error instanceof ChannelClosed) this.stop();
      else throw error;
    }
  }

  /**
   * @param {Call} call
   * @param {Buffer[]} frames
   * @param {{ error: unknown } | null} failure
   * @param {{ head: string, body: Uint8Array } | null} [whole] a reply of which nothing has been sent
   */
  #finish(call, frames, failure, whole = null) {
    if (call.ended) return;
    call.ended = true;
    call.upload?.abort();
    refuse(call);
    this.calls.delete(call.stream);
    const { log, stream } = call;
    this.sink.finish(log);
    const dropped = log.dropped;
    /** @type {object | null} */
    let end = dropped > 0 ? { dropped } : null;
    if (failure !== null) {
      const { error } = failure;
      const { code } = this.settings;
      end =
        error instanceof Rejected
          ? { dropped, rejected: error.message.slice(0, MESSAGE_MAX) }
          : { dropped, raised: placed(describe(error, code), error, this.contract, code) };
    }
    if (whole !== null && end === null) frames.push(packReply(stream, whole.head, whole.body));
    else {
      if (whole !== null) frames.push(pack(Kind.HEAD, stream, whole.head), pack(Kind.CHUNK, stream, whole.body));
      frames.push(pack(Kind.END, stream, end === null ? "" : frameJson(end), true));
    }
    this.#send(frames);
  }

  /** @param {number} stream */
  #cancel(stream) {
    this.bodies.delete(stream);
    const call = this.calls.get(stream);
    if (call === undefined) return;
    // Nobody listens: the handler goes on until it looks at its signal, and its log is the instance's.
    call.ended = true;
    refuse(call);
    this.calls.delete(stream);
    this.sink.finish(call.log);
    if (call.running) this.leaving.add(call);
    call.controller?.abort();
    call.upload?.abort();
    call.wakeUp();
    if (call.items !== null) close(call.items);
  }
}

/** @param {Call} call nobody answers what it asked for */
function refuse(call) {
  for (const { reject } of call.asked.splice(0)) reject(gone());
}

/**
 * @param {import("./replies.js").Reply} reply
 */
function isWeb(reply) {
  return reply.headers.some(([name]) => name === "content-type");
}

/**
 * Tells a generator or stream that nobody wants more.
 * @param {AsyncIterator<unknown> | Iterator<unknown>} items
 */
function close(items) {
  const ignore = () => undefined;
  try {
    Promise.resolve(items.return?.()).catch(ignore);
  } catch {
    // Its own clean-up failed; nobody is left to tell.
  }
}

/**
 * @param {unknown} value
 * @returns {value is PromiseLike<unknown>}
 */
function isThenable(value) {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "then") === "function";
}

/**
 * The decoded JSON body; text or bytes when it is no JSON.
 * @param {Buffer} body
 * @returns {unknown}
 */
function eventOf(body) {
  if (body.length === 0) return {};
  const text = body.toString();
  try {
    return parseJson(text);
  } catch {
    return Buffer.from(text).equals(body) ? text : body;
  }
}

module.exports = { Server };
