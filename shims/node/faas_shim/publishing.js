// @ts-check
// The global `faas` of user code: events and messages of a run, sent by the server in its name.
"use strict";

const { PAYLOAD_MAX, frameJson } = require("./protocol.js");
const { encode } = require("./values.js");

const JSON_TYPE = "application/json";
const BYTES_TYPE = "application/octet-stream";
const LONE_SURROGATE = /\p{Surrogate}/u;
const Code = Object.freeze({ MALFORMED: "FN_012", TOO_LARGE: "FN_011", CANCELLED: "FN_023" });

/** An event or a message that is not kept. `code` is the platform's, such as `FN_012`. */
class PublishError extends Error {
  /**
   * @param {string} message
   * @param {string} [code]
   */
  constructor(message, code = Code.MALFORMED) {
    super(`${code} ${message}`);
    this.name = "PublishError";
    this.code = code;
  }
}

/**
 * Carries a publication; resolves with the payload of the answer.
 * @typedef {(head: string, data: Uint8Array) => Promise<string>} Ask
 */

/**
 * Puts `faas` where every module finds it; a module that defines its own keeps that.
 * @param {Ask} ask
 */
function install(ask) {
  const faas = Object.freeze({
    PublishError,
    /**
     * Publishes an event; resolves with its id once it is kept. Bytes go as they are, anything else as JSON.
     * @param {string} type
     * @param {unknown} [data]
     * @param {{ subject?: string, source?: string, id?: string }} [options]
     * @returns {Promise<string>}
     */
    async publish(type, data, options = {}) {
      const [contentType, payload] = content(data);
      const head = {
        kind: "event",
        type: text("type", type),
        subject: text("subject", options.subject),
        source: text("source", options.source),
        id: text("id", options.id),
        content_type: contentType,
      };
      return answered(await ask(...bounded(head, payload, "an event")));
    },
    /**
     * Sends a message to a topic; resolves with its id once it is kept. Bytes go as they are, anything else as JSON.
     * @param {string} topic
     * @param {unknown} body
     * @param {{ attributes?: Record<string, string> }} [options]
     * @returns {Promise<string>}
     */
    async send(topic, body, options = {}) {
      if (typeof topic !== "string") throw new PublishError("the topic must be text");
      const [contentType, payload] = content(body);
      const attributes = Object.entries(options.attributes ?? {}).map(([name, value]) => {
        if (typeof value !== "string") throw new PublishError(`attribute \`${name}\` must be text`);
        return [text("attributes", name), text(name, value)];
      });
      const head = {
        kind: "message",
        topic: text("topic", topic),
        content_type: contentType,
        attributes: Object.fromEntries(attributes),
      };
      return answered(await ask(...bounded(head, payload, "a message")));
    },
  });
  Object.defineProperty(globalThis, "faas", { value: faas, writable: true, configurable: true });
}

/** There is no run to publish in the name of. */
function outside() {
  return new PublishError("nothing can be published or sent outside a call, or after its end");
}

/** The run has ended or been given up. */
function gone() {
  return new PublishError("the run ended before the answer came", Code.CANCELLED);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {string | undefined}
 */
function text(name, value) {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw new PublishError(`attribute \`${name}\` must be text`);
  if (LONE_SURROGATE.test(value)) throw new PublishError(`attribute \`${name}\` is not UTF-8`);
  return value;
}

/**
 * @param {unknown} value
 * @returns {[string | undefined, Uint8Array]}
 */
function content(value) {
  if (value === undefined || value === null) return [undefined, new Uint8Array()];
  if (value instanceof ArrayBuffer) return [BYTES_TYPE, new Uint8Array(value)];
  if (ArrayBuffer.isView(value)) return [BYTES_TYPE, new Uint8Array(value.buffer, value.byteOffset, value.byteLength)];
  try {
    return [JSON_TYPE, Buffer.from(encode(value))];
  } catch (error) {
    throw new PublishError(/** @type {Error} */ (error)?.message ?? String(error));
  }
}

/**
 * @param {object} head
 * @param {Uint8Array} data
 * @param {string} what
 * @returns {[string, Uint8Array]}
 */
function bounded(head, data, what) {
  const encoded = frameJson(head);
  const size = Buffer.byteLength(encoded) + data.length;
  if (size > PAYLOAD_MAX - 4) {
    throw new PublishError(`${what} of ${size} bytes is over ${PAYLOAD_MAX >> 20} MB`, Code.TOO_LARGE);
  }
  return [encoded, data];
}

/**
 * @param {string} payload
 * @returns {string}
 */
function answered(payload) {
  const { id, code, message, hint } = JSON.parse(payload);
  if (id !== undefined) return id;
  throw new PublishError(hint === undefined ? message : `${message}; ${hint}`, code);
}

module.exports = { install, outside, gone };
