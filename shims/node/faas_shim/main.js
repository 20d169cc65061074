// @ts-check
// The life of an instance: say hello, take init, load the user's code, serve.
"use strict";

const { realpathSync } = require("node:fs");

const { loadFetch, loadImports, quickly } = require("./builtins.js");
const dialect = require("./dialect.js");
const logs = require("./logs.js");
const publishing = require("./publishing.js");
const { PROTOCOL_VERSION, Channel, ChannelClosed, Kind, frameJson, pack } = require("./protocol.js");

/**
 * @typedef {{ entrypoint: string, function: string, version: number, memory_mb: number, concurrency: number,
 *   vars: Record<string, string>, log_bytes: number, log_line: number, body_max: number, code: string,
 *   debugger?: { waits: boolean } }} Init
 */

const exit = process.exit.bind(process);
/** Calls of a stack that an error keeps; the engine's default of ten hides where a call came from. */
const STACK_DEPTH = 40;

/** Serves the code in the directory that is the first argument. What goes wrong is told to the server. */
function main() {
  // Modules know themselves by their real path.
  const [directory, ...words] = process.argv.splice(2, 2);
  const code = realpathSync(directory);
  const channel = new Channel();
  if (words.includes("--wait")) prepare().then(() => serve(channel, code));
  else serve(channel, code);
}

/** Loads what serving may take, while nobody waits for it. */
async function prepare() {
  quickly(loadParts);
  await loadImports();
  await loadFetch();
}

/** The first call should not pay for loading what serving it takes. */
function loadParts() {
  for (const part of ["./loading.js", "./contracts.js", "./serving.js", "./errors.js"]) require(part);
  for (const part of ["node:module", "node:net", "node:util"]) require(part);
}

/**
 * @param {Channel} channel
 * @param {string} code
 */
function serve(channel, code) {
  const hello = { protocol: PROTOCOL_VERSION, runtime: dialect.version };
  channel.send(pack(Kind.HELLO, 0, frameJson(hello)));
  const init = { ...receiveInit(channel), code };
  // Of a process that waited, the directory that it saw at its start is hidden by now.
  process.chdir(code);
  const sink = new logs.Sink(channel, init.log_bytes, init.log_line);
  logs.install(sink);
  putVariables(init.vars);
  Error.stackTraceLimit = STACK_DEPTH;
  const state = guard(sink, init);
  publishing.install((head, data) => state.server?.ask(head, data) ?? Promise.reject(publishing.outside()));
  start(channel, sink, init, state).catch(state.fail);
}

/**
 * The runtime runs already when the variables come: what it reads at its start is done here, or said to be without effect.
 * @param {Record<string, string>} variables
 */
function putVariables(variables) {
  Object.assign(process.env, variables);
  if (variables.NODE_PATH) /** @type {any} */ (require("node:module"))._initPaths();
  if (variables.NODE_EXTRA_CA_CERTS) require("./authorities.js").trust(variables.NODE_EXTRA_CA_CERTS);
  for (const name of dialect.tooLate.filter((each) => each in variables)) {
    process.stderr.write(`${name} has no effect here: ${dialect.name} reads it when it starts, before vars are set\n`);
  }
}

/**
 * @param {Channel} channel
 * @returns {Init}
 */
function receiveInit(channel) {
  const parts = [];
  for (;;) {
    const { kind, end, payload } = channel.receive();
    if (kind !== Kind.INIT) throw new ChannelClosed();
    parts.push(Buffer.from(payload));
    if (end) return JSON.parse(Buffer.concat(parts).toString());
  }
}

/**
 * @param {Channel} channel
 * @param {logs.Sink} sink
 * @param {Init} init
 * @param {State} state
 */
async function start(channel, sink, init, state) {
  quickly(loadParts);
  const { load } = require("./loading.js");
  const { FETCH, read } = require("./contracts.js");
  const { Server } = require("./serving.js");
  // A promise of the top level that never settles leaves nothing to wait for.
  const alive = setInterval(() => undefined, 1 << 30);
  if (init.debugger) require("./debugger.js").letIn(channel, init.debugger);
  const { target, file } = await load(init.entrypoint, init.code);
  const contract = read(target, init.entrypoint.slice(init.entrypoint.lastIndexOf(":") + 1), file);
  if (contract.kind === FETCH) await loadFetch();
  clearInterval(alive);
  const server = new Server(channel, sink, contract, init, state);
  sink.finish(sink.instance);
  const streams = contract.kind === FETCH;
  const ready = { protocol: PROTOCOL_VERSION, contract: contract.kind, concurrency: init.concurrency, streams };
  channel.send(Buffer.concat([...sink.take(), pack(Kind.READY, 0, frameJson(ready))]));
  state.server = server;
  server.run();
}

/**
 * `stop` runs what the user's code registered for `exit`, `leave` what it registered for the end of any process.
 * @typedef {{ server: import("./serving.js").Server | null, stop: () => void, leave: () => void, fail: (error: unknown) => void }} State
 */

/**
 * What ends a process elsewhere ends a run here: process.exit(), errors and rejections that nobody caught.
 * @param {logs.Sink} sink
 * @param {Init} init
 * @returns {State}
 */
function guard(sink, init) {
  const { ProcessExit, describe } = require("./errors.js");
  /** @type {State} */
  const state = {
    server: null,
    stop: () => {
      sink.flush();
      process.exit = exit;
      exit(0);
    },
    leave: () => require("./ending.js").leave(sink.channel, sink, exit),
    fail: (error) => {
      sink.finish(sink.instance);
      const failed = pack(Kind.FAILED, 0, frameJson(describe(error, init.code, true)));
      try {
        sink.channel.send(Buffer.concat([...sink.take(), failed]));
      } finally {
        exit(1);
      }
    },
  };
  process.exit = (code) => {
    throw new ProcessExit(code);
  };
  dialect.settle();
  const uncaught = (/** @type {unknown} */ error) => {
    if (error instanceof ChannelClosed) exit(0);
    if (state.server === null) return state.fail(error);
    const log = sink.storage.getStore() ?? state.server.sole();
    if (log?.fail?.(error)) return undefined;
    const told = describe(error, init.code);
    const lines = [`Uncaught ${told.type}: ${told.message}`, ...(told.stack ?? []).reverse()];
    for (const line of lines.join("\n").split("\n")) {
      sink.emit(sink.instance, logs.Level.ERROR, logs.STDERR, line);
    }
    return undefined;
  };
  process.on("uncaughtException", uncaught);
  process.on("unhandledRejection", uncaught);
  return state;
}

module.exports = { main };
