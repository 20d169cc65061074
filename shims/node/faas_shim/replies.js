// @ts-check
// From what a handler returned to a reply.
//
// A Response is taken as it is. Of an event handler the value is the body: text, bytes, JSON for everything else;
// `{ statusCode, headers, body }` as for AWS Lambda; `{ status, headers, body }` with just these keys; a generator or
// stream streams, its objects as lines of JSON.
"use strict";

const { BadReply } = require("./errors.js");
const { encode } = require("./values.js");
const { FETCH } = require("./contracts.js");
const { frameJson } = require("./protocol.js");

const JSON_TYPE = "application/json";
const TEXT_TYPE = "text/plain; charset=utf-8";
const BYTES_TYPE = "application/octet-stream";
const LINES_TYPE = "application/x-ndjson";
const HEAD_MAX = 64 << 10;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const RESPONSE_KEYS = new Set(["status", "headers", "body"]);

/**
 * `type` is the content type that the body suggests; `items` streams.
 * @typedef {{ status: number, headers: [string, string][], type: string | null, body: Uint8Array,
 *   items: AsyncIterator<unknown> | Iterator<unknown> | null }} Reply
 */

/** @type {Map<string, string>} */
const heads = new Map();

/**
 * The payload of a head frame.
 * @param {Reply} reply
 * @param {number} [length] of a body that is there but too long for one frame
 * @returns {string}
 */
function headOf(reply, length) {
  const { status, headers, type } = reply;
  if (status === 200 && headers.length === 0 && type !== null && length === undefined) {
    let head = heads.get(type);
    if (head === undefined) {
      head = frameJson({ status, headers: [["content-type", type]] });
      heads.set(type, head);
    }
    return head;
  }
  const typed = type === null || headers.some(([name]) => name === "content-type");
  const head = frameJson({ status, headers: typed ? headers : [["content-type", type], ...headers], length });
  if (head.length > HEAD_MAX) throw new BadReply(`the reply's headers are larger than ${HEAD_MAX >> 10} KB`);
  return head;
}

/**
 * @param {unknown} value
 * @param {"fetch" | "event"} kind
 * @returns {Reply}
 */
function fromValue(value, kind) {
  if (isResponse(value)) return fromResponse(value);
  if (kind === FETCH) {
    throw new BadReply(`the handler must return a Response, not ${shown(value)}`);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const object = /** @type {Record<string, unknown>} */ (value);
    if ("statusCode" in object) return fromProxy(object);
    if (isPlainResponse(object)) return withHead(fromBody(object.body ?? ""), object.status, object.headers);
  }
  return fromBody(value);
}

/**
 * Without touching the global, which would load the whole of fetch.
 * @param {unknown} value
 * @returns {value is Response}
 */
function isResponse(value) {
  return Object.prototype.toString.call(value) === "[object Response]";
}

/** @param {Record<string, unknown>} value */
function isPlainResponse(value) {
  return (
    "body" in value && Number.isInteger(value.status) && Object.keys(value).every((key) => RESPONSE_KEYS.has(key))
  );
}

/**
 * @param {Response} response
 * @returns {Reply}
 */
function fromResponse(response) {
  if (response.bodyUsed) throw new BadReply("the body of the Response has been read already");
  if (response.status < 100) throw new BadReply("a Response of an error is not a reply");
  /** @type {[string, string][]} */
  const headers = [];
  response.headers.forEach((value, name) => headers.push([name, value]));
  const items = response.body === null ? null : readerOf(response.body);
  return { status: response.status, headers, type: null, body: NOTHING, items };
}

const NOTHING = new Uint8Array(0);

/**
 * @param {ReadableStream} stream
 * @returns {AsyncIterator<unknown>}
 */
function readerOf(stream) {
  const reader = stream.getReader();
  return {
    next: () => /** @type {Promise<IteratorResult<unknown>>} */ (reader.read()),
    return: async () => {
      await reader.cancel();
      return { done: true, value: undefined };
    },
  };
}

/**
 * @param {unknown} value
 * @returns {Reply}
 */
function fromBody(value) {
  if (typeof value === "string") return whole(Buffer.from(value), TEXT_TYPE);
  const bytes = bytesOf(value);
  if (bytes !== null) return whole(bytes, BYTES_TYPE);
  const items = itemsOf(value);
  if (items !== null) return { status: 200, headers: [], type: null, body: NOTHING, items };
  return whole(Buffer.from(encode(value)), JSON_TYPE);
}

/**
 * @param {Uint8Array} body
 * @param {string} type
 * @returns {Reply}
 */
function whole(body, type) {
  return { status: 200, headers: [], type, body, items: null };
}

/**
 * @param {unknown} value
 * @returns {Uint8Array | null}
 */
function bytesOf(value) {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return value instanceof ArrayBuffer || value instanceof SharedArrayBuffer ? new Uint8Array(value) : null;
}

/**
 * Generators and streams, but no collections: those are data.
 * @param {unknown} value
 * @returns {AsyncIterator<unknown> | Iterator<unknown> | null}
 */
function itemsOf(value) {
  if (typeof value !== "object" || value === null) return null;
  if (Object.prototype.toString.call(value) === "[object ReadableStream]") {
    return readerOf(/** @type {ReadableStream} */ (value));
  }
  const asynchronous = Reflect.get(value, Symbol.asyncIterator);
  if (typeof asynchronous === "function") return asynchronous.call(value);
  const next = Reflect.get(value, "next");
  return typeof next === "function" ? /** @type {Iterator<unknown>} */ (value) : null;
}

/**
 * @param {Record<string, unknown>} value
 * @returns {Reply}
 */
function fromProxy(value) {
  let body = value.body ?? "";
  if (value.isBase64Encoded && typeof value.body === "string") body = fromBase64(value.body);
  const status = String(value.statusCode).trim();
  if (!/^\d{1,10}$/.test(status)) {
    throw new BadReply(`\`statusCode\` is not a number: '${status.slice(0, 80)}'`);
  }
  const reply = withHead(fromBody(body), Number(status), value.headers);
  const several = pairs(value.multiValueHeaders);
  // As for AWS Lambda: what has several values there is not repeated with the one that it has here.
  const names = new Set(several.map(([name]) => name));
  const headers = reply.headers.filter(([name]) => !names.has(name));
  return { ...reply, headers: [...headers, ...several, ...pairs({ "set-cookie": value.cookies })] };
}

/**
 * Of either alphabet, with or without padding and line breaks.
 * @param {string} text
 */
function fromBase64(text) {
  const plain = text.replace(/\s+/g, "").replace(/=+$/, "");
  if (!/^[\w+/-]*$/.test(plain)) throw new BadReply("`body` is not base64: it has other characters");
  if (plain.length % 4 === 1) throw new BadReply("`body` is not base64: it ends within a byte");
  return Buffer.from(plain, "base64");
}

/**
 * @param {Reply} reply
 * @param {unknown} status
 * @param {unknown} headers
 * @returns {Reply}
 */
function withHead(reply, status, headers) {
  const code = Number(status);
  if (!Number.isInteger(code) || code < 200 || code > 599) {
    throw new BadReply(`${status} is not a status that ends a request: use 200 to 599`);
  }
  return { ...reply, status: code, headers: pairs(headers) };
}

/**
 * The fields of a reply: a list as value repeats its field, null and undefined leave it out.
 * @param {unknown} headers an object, a Map, Headers or a list of pairs
 * @returns {[string, string][]}
 */
function pairs(headers) {
  if (headers === undefined || headers === null) return [];
  if (typeof headers !== "object") throw new BadReply("headers must be an object or a list of pairs");
  const iterable = typeof Reflect.get(headers, Symbol.iterator) === "function";
  const entries = iterable ? [.../** @type {Iterable<unknown>} */ (headers)] : Object.entries(headers);
  /** @type {[string, string][]} */
  const found = [];
  for (const pair of entries) {
    if (!Array.isArray(pair) || pair.length !== 2) throw new BadReply("headers must be an object or a list of pairs");
    const [name, value] = pair;
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null) found.push(clean(name, each));
    }
  }
  return found;
}

/**
 * A header field as the wire takes it.
 * @param {unknown} name
 * @param {unknown} value
 * @returns {[string, string]}
 */
function clean(name, value) {
  const lower = String(name).toLowerCase();
  if (isData(value)) throw new BadReply(`the header '${lower.slice(0, 80)}' has ${shown(value)} as its value`);
  // As HTTP writes dates.
  const text = value instanceof Date ? value.toUTCString() : String(value);
  if (!TOKEN.test(lower)) throw new BadReply(`'${lower.slice(0, 80)}' is not a header name`);
  if (/[\r\n\0]/.test(text)) throw new BadReply(`the header '${lower}' has a line break in its value`);
  // Bytes beyond ASCII travel as Latin-1 text; the client sees UTF-8.
  // eslint-disable-next-line no-control-regex
  return [lower, (/[^\x00-\xff]/.test(text) ? Buffer.from(text).toString("latin1") : text).trim()];
}

/**
 * Whether a value says nothing as text.
 * @param {unknown} value
 */
function isData(value) {
  if (typeof value !== "object" || value === null) return typeof value === "function";
  return Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value));
}

/**
 * One streamed item and the content type that it suggests: text, bytes, or a line of JSON.
 * @param {unknown} item
 * @returns {[Uint8Array, string]}
 */
function chunkOf(item) {
  if (typeof item === "string") return [Buffer.from(item), TEXT_TYPE];
  const bytes = bytesOf(item);
  return bytes === null ? [Buffer.from(`${encode(item)}\n`), LINES_TYPE] : [bytes, BYTES_TYPE];
}

/** @param {unknown} value */
function shown(value) {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "object") return `an ${value.constructor?.name ?? "object"}`;
  return `a ${typeof value}`;
}

module.exports = { headOf, fromValue, chunkOf };
