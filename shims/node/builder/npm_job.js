// @ts-check
// What npm is told, and what it has installed.
"use strict";

const fs = require("node:fs");
const path = require("node:path");

const PLACE = "/tmp/build";
const NPM = "/opt/installer/npm/bin/npm-cli.js";
const SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const PACKAGES_MAX = 2_000;

/** @typedef {{ files: Record<string, string>, index: string[], ca: string }} Job */

/** One installation of `package-lock.json`. */
class NpmJob {
  /** @param {Job} job */
  constructor(job) {
    this.job = job;
    this.project = `${PLACE}/project`;
    this.tree = `${this.project}/node_modules`;
  }

  /**
   * Writes what npm reads.
   * @param {number} port of the proxy
   */
  prepare(port) {
    fs.mkdirSync(this.tree, { recursive: true });
    for (const [name, text] of Object.entries(this.job.files)) fs.writeFileSync(`${this.project}/${name}`, text);
    const proxy = `http://127.0.0.1:${port}`;
    const settings = [`proxy=${proxy}`, `https-proxy=${proxy}`, `cache=${PLACE}/cache`];
    for (const text of this.job.index) settings.push(...registry(text));
    if (this.job.ca !== "") {
      const system = fs.existsSync(SYSTEM_CERTIFICATES) ? fs.readFileSync(SYSTEM_CERTIFICATES, "utf8") : "";
      fs.writeFileSync(`${PLACE}/ca.pem`, `${system}\n${this.job.ca}`);
      settings.push(`cafile=${PLACE}/ca.pem`);
    }
    fs.writeFileSync(`${PLACE}/npmrc`, `${settings.join("\n")}\n`);
  }

  /** The command that installs. Scripts need a shell, and there is none. */
  install() {
    const flags = ["--omit=dev", "--ignore-scripts", "--no-bin-links", "--no-audit", "--no-fund", "--no-progress"];
    const network = ["--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-timeout=20000", "--maxsockets=8", "--no-update-notifier"];
    const files = [`--userconfig=${PLACE}/npmrc`, "--globalconfig=/dev/null", "--no-color", "--logs-max=0"];
    return [process.execPath, NPM, "ci", ...flags, ...network, ...files];
  }

  environment() {
    return { PATH: path.dirname(process.execPath), HOME: PLACE, TMPDIR: PLACE, LANG: "C.UTF-8" };
  }

  /**
   * What was installed, as npm has noted it.
   * @param {Map<string, number>} sizes of directories below `node_modules`
   */
  packages(sizes) {
    /** @type {Record<string, { version?: string }>} */
    const noted = JSON.parse(fs.readFileSync(`${this.tree}/.package-lock.json`, "utf8")).packages ?? {};
    return Object.entries(noted).slice(0, PACKAGES_MAX).map(([place, { version }]) => {
      const below = place.slice("node_modules/".length);
      const name = below.split("node_modules/").pop() ?? "";
      return { name, version: version ?? "", size: sizes.get(below) ?? 0 };
    });
  }
}

/**
 * The settings of a registry. npm takes credentials beside the URL only.
 * @param {string} text
 * @returns {string[]}
 */
function registry(text) {
  const url = new URL(text);
  const [user, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
  url.username = url.password = "";
  const place = `//${url.host}${url.pathname.endsWith("/") ? url.pathname : `${url.pathname}/`}`;
  if (user === "") return [`registry=${url}`];
  const basic = Buffer.from(`${user}:${password}`).toString("base64");
  return [`registry=${url}`, password === "" ? `${place}:_authToken=${user}` : `${place}:_auth=${basic}`];
}

module.exports = { NpmJob };
