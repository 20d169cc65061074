// @ts-check
// Installs a function's packages inside a sandbox of its own, and hands the tree over. The server's `faas_proto::build` is
// the source of truth for what is said on descriptor 3.
"use strict";

const { spawn } = require("node:child_process");
const { Kind, Link } = require("./link.js");
const { NpmJob } = require("./npm_job.js");
const { startProxy } = require("./proxy.js");
const { sendTree } = require("./tree.js");

const LINE_MAX = 2_000;

/** The job cannot be done; the text says why. */
class Failure extends Error {}

/** @param {Link} link */
async function run(link) {
  const job = new NpmJob(JSON.parse((await link.job).toString()));
  const port = await startProxy(link);
  await job.prepare(port);
  await command(link, job.install(), job.environment(), job.project);
  job.installed();
  const skipped = job.skippedInstallScripts();
  await runScripts(link, job);
  const sizes = await sendTree(link, job.tree);
  await link.send(Kind.DONE, 0, Buffer.from(JSON.stringify({ packages: job.packages(sizes), skipped_install_scripts: skipped })));
}

/**
 * @param {Link} link
 * @param {NpmJob} job
 */
async function runScripts(link, job) {
  const commands = job.scripted();
  if (commands.length === 0) return;
  const names = job.scripts.join(", ");
  if (!job.hasShell()) {
    throw new Failure(`the install scripts of ${names} need a shell: install dash on the server's machine`);
  }
  for (const argv of commands) {
    await command(link, argv, job.environment(), job.project).catch((error) => {
      throw new Failure(`an install script of ${names} failed: ${error.message}; there is no compiler and no Python here`);
    });
  }
}

/**
 * Runs a program to its end; every line it prints is sent.
 * @param {Link} link
 * @param {string[]} argv
 * @param {Record<string, string>} env
 * @param {string} cwd
 * @returns {Promise<void>}
 */
function command(link, argv, env, cwd) {
  const child = spawn(argv[0], argv.slice(1), { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
  for (const output of [child.stdout, child.stderr]) sendLines(link, output);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve();
      else reject(new Failure(signal ? `npm was ended by ${signal}` : `npm exited with status ${code}`));
    });
  });
}

/**
 * @param {Link} link
 * @param {import("node:stream").Readable} output
 */
function sendLines(link, output) {
  let rest = "";
  output.setEncoding("utf8");
  output.on("data", (/** @type {string} */ chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = (lines.pop() ?? "").slice(0, LINE_MAX);
    // As fast as the server takes them.
    output.pause();
    Promise.all(lines.map((line) => link.send(Kind.LOG, 0, Buffer.from(line.slice(0, LINE_MAX))))).then(() =>
      output.resume(),
    );
  });
}

async function main() {
  const link = new Link();
  try {
    await run(link);
  } catch (error) {
    const reason = error instanceof Failure ? error.message : String(error);
    await link.send(Kind.FAILED, 0, Buffer.from(reason.slice(0, LINE_MAX)));
  }
  link.end();
}

main();
