// @ts-check
// What npm is told, and what it has installed.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { rootCertificates } = require("node:tls");
const { Registry } = require("./registry.js");

const PLACE = "/tmp/build";
const CERTIFICATES = `${PLACE}/ca.pem`;
const NPM = "/opt/installer/npm/bin/npm-cli.js";
const SHELL = "/bin/sh";
const LOCK = "package-lock.json";
const ORDERS = "build.json";
const SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const PACKAGES_MAX = 2_000;
const HOOKS = ["preinstall", "install", "postinstall"];

/** @typedef {{ files: Record<string, string>, index: string[], ca: string }} Job */
/** @typedef {{ name?: string, version: string, resolved?: string }} Entry */

/** One installation of `package-lock.json`. */
class NpmJob {
  /** @param {Job} job */
  constructor(job) {
    this.job = job;
    this.project = `${PLACE}/project`;
    this.tree = `${this.project}/node_modules`;
    /** @type {{ scripts?: string[], unknown?: string[] }} */
    const orders = JSON.parse(job.files[ORDERS] ?? "{}");
    /** Packages whose install scripts run. */
    this.scripts = orders.scripts ?? [];
    this.unknown = orders.unknown ?? [];
    this.registry = new Registry(job.index);
    this.port = 0;
    /** Packages by their places, as npm has noted them. @type {[string, Entry][]} */
    this.noted = [];
  }

  /**
   * Writes what npm reads.
   * @param {number} port of the proxy
   */
  async prepare(port) {
    this.port = port;
    fs.mkdirSync(this.tree, { recursive: true });
    const ca = this.#certificates();
    const lock = JSON.parse(this.job.files[LOCK]);
    this.registry.redirect(lock.packages ?? {});
    if (this.unknown.length > 0) await this.registry.complete(lock.packages, this.unknown, { port, ca });
    fs.writeFileSync(`${this.project}/package.json`, this.job.files["package.json"]);
    fs.writeFileSync(`${this.project}/${LOCK}`, JSON.stringify(lock));
    const proxy = `http://127.0.0.1:${port}`;
    const settings = { proxy, "https-proxy": proxy, cache: `${PLACE}/cache`, ...this.registry.settings };
    const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
    if (ca !== "") lines.push(`cafile=${CERTIFICATES}`);
    fs.writeFileSync(`${PLACE}/npmrc`, `${lines.join("\n")}\n`);
  }

  /** Those that the machine trusts, and the operator's; empty leaves it to Node. */
  #certificates() {
    const system = fs.existsSync(SYSTEM_CERTIFICATES) ? fs.readFileSync(SYSTEM_CERTIFICATES, "utf8") : "";
    if (system === "" && this.job.ca === "") return "";
    const all = `${system || rootCertificates.join("\n")}\n${this.job.ca}`;
    fs.writeFileSync(CERTIFICATES, all);
    return all;
  }

  /** The command that installs. Links to programs of packages are for install scripts alone. */
  install() {
    const flags = ["--omit=dev", "--ignore-scripts", "--no-bin-links"];
    const network = ["--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-timeout=20000", "--maxsockets=8"];
    return this.#npm("ci", ...flags, ...network);
  }

  /** Takes in what npm has noted of its installation. */
  installed() {
    const note = `${this.tree}/.package-lock.json`;
    this.noted = Object.entries(JSON.parse(fs.readFileSync(note, "utf8")).packages ?? {});
    // Beside this file npm believes that packages have no programs and no scripts but those that the lock names.
    fs.rmSync(note);
  }

  /** The commands that run install scripts: they want the programs of other packages there first. */
  scripted() {
    const places = this.noted.filter(([place, entry]) => this.scripts.includes(entry.name ?? nameOf(place)));
    const names = [...new Set(places.map(([place]) => nameOf(place)))];
    if (names.length === 0) return [];
    const run = this.#npm("rebuild", ...names, "--foreground-scripts", `--script-shell=${SHELL}`);
    return [this.#npm("rebuild", "--ignore-scripts"), run];
  }

  /** Whether this machine has a shell for scripts. */
  hasShell() {
    return fs.existsSync(SHELL);
  }

  /** @param {string[]} words */
  #npm(...words) {
    const quiet = ["--no-audit", "--no-fund", "--no-progress", "--no-update-notifier", "--no-color", "--logs-max=0"];
    return [process.execPath, NPM, ...words, ...quiet, `--userconfig=${PLACE}/npmrc`, "--globalconfig=/dev/null"];
  }

  environment() {
    const proxy = `http://127.0.0.1:${this.port}`;
    const shared = { HOME: PLACE, TMPDIR: PLACE, LANG: "C.UTF-8", HTTP_PROXY: proxy, HTTPS_PROXY: proxy };
    /** @type {Record<string, string>} */
    const ca = fs.existsSync(CERTIFICATES) ? { NODE_EXTRA_CA_CERTS: CERTIFICATES } : {};
    return { PATH: `${path.dirname(process.execPath)}:/usr/bin:/bin`, ...shared, ...ca };
  }

  /**
   * What was installed, as npm has noted it.
   * @param {Map<string, number>} sizes of directories below `node_modules`
   */
  packages(sizes) {
    return this.noted.slice(0, PACKAGES_MAX).map(([place, { name, version }]) => {
      const below = place.slice("node_modules/".length);
      return { name: name ?? nameOf(place), version: version ?? "", size: sizes.get(below) ?? 0 };
    });
  }

  /** Names of packages that have install scripts which did not run. */
  skippedInstallScripts() {
    const scripted = this.noted.filter(([place]) => hasScripts(`${this.project}/${place}`));
    const left = scripted.map(([place, { name }]) => name ?? nameOf(place)).filter((name) => !this.scripts.includes(name));
    return [...new Set(left)].sort();
  }
}

/** @param {string} place */
function nameOf(place) {
  return place.split("node_modules/").pop() ?? "";
}

/**
 * Whether a package wants to run something when it is installed. npm compiles what has a `binding.gyp` unasked.
 * @param {string} directory
 */
function hasScripts(directory) {
  try {
    const { scripts = {} } = JSON.parse(fs.readFileSync(`${directory}/package.json`, "utf8").replace(/^\ufeff/, ""));
    return HOOKS.some((hook) => typeof scripts[hook] === "string") || fs.existsSync(`${directory}/binding.gyp`);
  } catch {
    // What has no such file is no package of npm's, or was left out as not being for this platform.
    return false;
  }
}

module.exports = { NpmJob };
