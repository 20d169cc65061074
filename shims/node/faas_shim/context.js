// @ts-check
// What a handler learns about its call.
"use strict";

/**
 * The payload of an invoke frame.
 * @typedef {{ run: string, method: string, path: string, query: string, headers: [string, string][],
 *   deadline: number }} InvokeHead
 * @typedef {{ function: string, version: number, memory_mb: number }} Identity
 */

/** The request as it came. */
class RequestView {
  #head;
  /** @type {Record<string, string> | null} */
  #headers = null;
  /** @type {Record<string, string> | null} */
  #query = null;

  /**
   * @param {InvokeHead} head
   * @param {Buffer} body
   */
  constructor(head, body) {
    this.#head = head;
    this.body = body;
  }

  get method() {
    return this.#head.method;
  }

  /** Percent-encoded, as it came. */
  get path() {
    return this.#head.path;
  }

  get queryString() {
    return this.#head.query;
  }

  /** The last value of each key; `new URLSearchParams(queryString)` has all of them. */
  get query() {
    this.#query ??= Object.fromEntries(new URLSearchParams(this.#head.query));
    return this.#query;
  }

  /** Names in lower case; repeated fields are joined. */
  get headers() {
    this.#headers ??= joined(this.#head.headers);
    return this.#headers;
  }

  /** The caller's address, as far as the server knows it; null for runs that no request made. */
  get clientAddress() {
    return this.headers["x-forwarded-for"]?.split(",")[0].trim() || null;
  }

  text() {
    return this.body.toString();
  }

  /** @returns {unknown} */
  json() {
    return parseJson(this.body.toString());
  }
}

/**
 * What JSON.parse says, past a byte order mark.
 * @param {string} text
 * @returns {unknown}
 */
function parseJson(text) {
  return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
}

/** Identifies the run and tells how much time it has. The names of AWS Lambda's context work too. */
class Context {
  #head;
  #signal;

  /**
   * @param {Identity} identity
   * @param {InvokeHead} head
   * @param {Buffer} body
   * @param {() => AbortSignal} signal
   */
  constructor(identity, head, body, signal) {
    this.#head = head;
    this.#signal = signal;
    this.function = identity.function;
    this.version = identity.version;
    this.memoryLimitMb = identity.memory_mb;
    this.request = new RequestView(head, body);
  }

  get runId() {
    return this.#head.run;
  }

  /** Which try of the run this is: 1, and more when an earlier one failed. */
  get attempt() {
    return Number(this.request.headers["x-faas-attempt"] ?? 1) || 1;
  }

  /** When the caller stops waiting. */
  get deadline() {
    return new Date(this.#head.deadline);
  }

  /** Aborted when nobody waits for the reply any more. */
  get signal() {
    return this.#signal();
  }

  getRemainingTimeInMillis() {
    return Math.max(0, this.#head.deadline - Date.now());
  }

  get awsRequestId() {
    return this.#head.run;
  }

  get functionName() {
    return this.function;
  }

  get functionVersion() {
    return String(this.version);
  }

  get memoryLimitInMB() {
    return String(this.memoryLimitMb);
  }

  get invokedFunctionArn() {
    return `arn:faas:lambda:local:000000000000:function:${this.function}:${this.version}`;
  }

  get logGroupName() {
    return `/faas/${this.function}`;
  }

  /** The lines of this run are found by its id. */
  get logStreamName() {
    return this.#head.run;
  }

  // Callers of functions here have no accounts of AWS Cognito and none of its mobile clients.

  get identity() {
    return undefined;
  }

  get clientContext() {
    return undefined;
  }
}

/**
 * @param {[string, string][]} pairs
 * @returns {Record<string, string>}
 */
function joined(pairs) {
  /** @type {Record<string, string>} */
  const headers = Object.create(null);
  for (const [name, value] of pairs) {
    const before = headers[name];
    headers[name] = before === undefined ? value : before + (name === "cookie" ? "; " : ", ") + value;
  }
  return headers;
}

/**
 * The request of the Fetch standard.
 * @param {InvokeHead} head
 * @param {Buffer | ReadableStream<Uint8Array>} body
 * @param {AbortSignal} signal
 * @returns {Request}
 */
function webRequest(head, body, signal) {
  /** @type {RequestInit & { duplex?: "half" }} */
  const init = { method: head.method, headers: head.headers, signal };
  const isStream = !Buffer.isBuffer(body);
  if ((isStream || body.length > 0) && head.method !== "GET" && head.method !== "HEAD") {
    init.body = /** @type {BodyInit} */ (/** @type {unknown} */ (body));
    if (isStream) init.duplex = "half";
  }
  return new Request(address(head), init);
}

/** @param {InvokeHead} head */
function address(head) {
  let scheme = "http";
  let host = "localhost";
  for (const [name, value] of head.headers) {
    if (name === "host") host = value;
    else if (name === "x-forwarded-proto" && /^https\s*(,|$)/i.test(value)) scheme = "https";
  }
  const below = head.query === "" ? head.path : `${head.path}?${head.query}`;
  // A host that does not make a URL says nothing that a handler could use.
  return URL.canParse?.(`${scheme}://${host}`) ?? isUrl(`${scheme}://${host}`)
    ? `${scheme}://${host}${below}`
    : `${scheme}://localhost${below}`;
}

/** @param {string} text */
function isUrl(text) {
  try {
    return new URL(text).host !== "";
  } catch {
    return false;
  }
}

module.exports = { Context, parseJson, webRequest };
