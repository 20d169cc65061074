// @ts-check
// The end of an instance that is no longer needed: what the user's code has registered for it runs first. The server waits
// for some two seconds, and ends the process then.
"use strict";

/** How long an event loop that is kept busy may go on: after the signal, and where nobody listens to it. */
const LISTENED_MS = 1500;
const UNHEARD_MS = 300;
/** What the signal takes to come around; without something to wait for, the process would end before. */
const SIGNAL_MS = 20;

/**
 * @param {import("./protocol.js").Channel} channel
 * @param {import("./logs.js").Sink} sink
 * @param {(code?: number) => never} exit the engine's own
 */
function leave(channel, sink, exit) {
  // Here it means what it says.
  process.exit = exit;
  process.on("exit", () => {
    sink.finish(sink.instance);
    sink.flush();
  });
  let drained = false;
  process.on("beforeExit", () => {
    drained = true;
  });
  // Nothing keeps the loop going now but what the code has left in it.
  channel.socket?.unref();
  const listened = process.listenerCount("SIGTERM") > 0;
  if (listened) {
    process.kill(process.pid, "SIGTERM");
    setTimeout(() => undefined, SIGNAL_MS);
  }
  const late = () => {
    if (!drained) process.emit("beforeExit", 0);
    setImmediate(() => exit(0));
  };
  setTimeout(late, listened ? LISTENED_MS : UNHEARD_MS).unref();
}

module.exports = { leave };
