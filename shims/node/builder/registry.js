// @ts-check
// The registry that is asked: the operator's, or npm's own.
"use strict";

const REGISTRY = "https://registry.npmjs.org/";
const FETCH = "/opt/installer/npm/node_modules/npm-registry-fetch";
const AT_ONCE = 8;
const TIMEOUT_MS = 20_000;

/** @typedef {{ name?: string, version: string, resolved?: string, os?: string[], cpu?: string[], libc?: string[] }} Entry */

/** A registry with its credentials. */
class Registry {
  /** @param {string[]} index the operator's URL, if there is one */
  constructor(index) {
    const url = new URL(index[0] ?? REGISTRY);
    const [user, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
    url.username = url.password = "";
    if (!url.pathname.endsWith("/")) url.pathname += "/";
    this.url = String(url);
    /** What npm is told; it takes credentials beside the URL only. @type {Record<string, string>} */
    this.settings = index.length > 0 ? { registry: this.url } : {};
    const place = `//${url.host}${url.pathname}`;
    const basic = Buffer.from(`${user}:${password}`).toString("base64");
    if (user !== "") this.settings[password === "" ? `${place}:_authToken` : `${place}:_auth`] = password === "" ? user : basic;
  }

  /**
   * Lets what lies in npm's own registry come from this one, path and all.
   * @param {Record<string, Entry>} packages
   */
  redirect(packages) {
    for (const entry of Object.values(packages)) {
      if (entry.resolved?.startsWith(REGISTRY)) entry.resolved = this.url + entry.resolved.slice(REGISTRY.length);
    }
  }

  /**
   * Adds to packages on which platforms they can be used. What the registry does not tell is left to be tried.
   * @param {Record<string, Entry>} packages
   * @param {string[]} places
   * @param {{ port: number, ca: string }} way
   */
  async complete(packages, places, { port, ca }) {
    const fetch = require(FETCH);
    const proxy = `http://127.0.0.1:${port}`;
    const options = {
      ...this.settings,
      registry: this.url,
      proxy,
      httpsProxy: proxy,
      ...(ca === "" ? {} : { ca }),
      timeout: TIMEOUT_MS,
      fetchRetries: 1,
    };
    const todo = places.filter((place) => packages[place] !== undefined);
    const work = async () => {
      for (let place = todo.pop(); place !== undefined; place = todo.pop()) {
        const entry = packages[place];
        const name = entry.name ?? place.split("node_modules/").pop() ?? "";
        const path = `${name.replace("/", "%2f")}/${entry.version}`;
        const { os, cpu, libc } = await fetch.json(`/${path}`, options).catch(() => ({}));
        for (const [key, words] of Object.entries({ os, cpu, libc })) {
          if (words !== undefined) Object.assign(entry, { [key]: words });
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }
}

module.exports = { Registry };
