// @ts-check
// Lets a debugger in, where the server asks for it: only one that runs inside of a developer's own command does.
"use strict";

const inspector = require("node:inspector");

const { Kind, pack } = require("./protocol.js");

/**
 * Listens for debuggers, tells where, and waits for one if that is wanted.
 * @param {import("./protocol.js").Channel} channel
 * @param {{ waits: boolean }} wanted
 */
function letIn(channel, wanted) {
  // Any port that is free: nobody but the server can reach it.
  inspector.open(0, "127.0.0.1");
  const port = Buffer.alloc(2);
  port.writeUInt16LE(Number(new URL(/** @type {string} */ (inspector.url())).port));
  channel.send(pack(Kind.DEBUGGER, 0, port));
  if (wanted.waits) inspector.waitForDebugger();
}

module.exports = { letIn };
