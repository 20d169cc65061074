// Run by a Node that is being sealed, with the directory of a layer and its place: leaves the modules of the shim in one file
// there, with their compiled code. A function is compiled when it is called first, so the shim serves a call for it.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { spawn } = require("node:child_process");

const [directory, , ...words] = process.argv.slice(1);
const shim = path.join(directory, "faas_shim");
const SAMPLE = 'exports.handler = (event) => {\n  console.log("called");\n  return { event };\n};\n';
const PATIENCE_MS = 20_000;
const INIT = 0x01;
const INVOKE = 0x02;
const REPLY = 0x89;

if (words.includes("--serve")) serve(words[1]);
else if (fs.existsSync(path.join(shim, "together.js"))) compile();

/** Serves as the shim does, and leaves at its end what was compiled. */
function serve(code) {
  const { CODE, SOURCE, loader, scriptOf, sourceOfAll } = require(path.join(shim, "together.js"));
  const source = sourceOfAll();
  const script = scriptOf(source);
  process.on("exit", () => {
    fs.mkdirSync(path.dirname(CODE));
    fs.writeFileSync(SOURCE, source, "latin1");
    fs.writeFileSync(CODE, script.createCachedData());
  });
  process.argv = [process.execPath, path.join(directory, "boot.js"), code];
  loader(script)("./main.js").main();
}

/** Calls a function of one line in a process that serves it. */
function compile() {
  const code = path.join(directory, "sample");
  fs.mkdirSync(code);
  fs.writeFileSync(path.join(code, "index.js"), SAMPLE);
  const words = [...process.execArgv, directory, directory, "--serve", code];
  const child = spawn(process.execPath, words, { stdio: ["ignore", "ignore", "pipe", "pipe"], env: {} });
  const wait = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  const said = [];
  child.stderr.on("data", (data) => said.push(data));
  child.on("close", () => {
    clearTimeout(wait);
    fs.rmSync(code, { recursive: true });
    if (fs.existsSync(path.join(shim, "compiled", "modules.code"))) return;
    process.stderr.write(`the shim served no call: ${Buffer.concat(said)}`);
    process.exitCode = 1;
  });
  call(child.stdio[3]);
}

function call(channel) {
  const init = { entrypoint: "index:handler", function: "sample", version: 1, memory_mb: 128, concurrency: 1, vars: {} };
  const bounds = { log_bytes: 1 << 20, log_line: 8 << 10, body_max: 10 << 20 };
  const headers = [["host", "localhost"], ["accept", "*/*"], ["content-type", "application/json"]];
  const head = { run: "run_0", method: "GET", path: "/", query: "a=1", headers, deadline: Date.now() + PATIENCE_MS };
  channel.on("error", () => undefined);
  channel.write(Buffer.concat([frame(INIT, 0, { ...init, ...bounds }), frame(INVOKE, 1, head)]));
  let bytes = Buffer.alloc(0);
  channel.on("data", (data) => {
    bytes = Buffer.concat([bytes, data]);
    while (bytes.length >= 12 && bytes.length >= 12 + bytes.readUInt32LE(0)) {
      if (bytes[4] === REPLY) channel.destroy();
      bytes = bytes.subarray(12 + bytes.readUInt32LE(0));
    }
  });
}

/** As in `faas_proto::frame`. */
function frame(kind, stream, content) {
  const payload = Buffer.from(JSON.stringify(content));
  const header = Buffer.alloc(12);
  header.writeUInt32LE(payload.length, 0);
  header[4] = kind;
  header[5] = 1;
  header.writeUInt32LE(stream, 8);
  return Buffer.concat([header, payload]);
}
