// @ts-check
// The authorities that a function trusts besides those of the machine.
"use strict";

const { readFileSync } = require("node:fs");

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^]+?-----END CERTIFICATE-----/g;

/**
 * Does what Node does with `NODE_EXTRA_CA_CERTS` at its start: trusts the certificates of a file in every connection that
 * names no authorities itself.
 * @param {string} file
 */
function trust(file) {
  const certificates = read(file);
  if (certificates.length === 0) return;
  const tls = /** @type {any} */ (require("node:tls"));
  if (tls.setDefaultCACertificates) {
    tls.setDefaultCACertificates([...tls.getCACertificates("default"), ...certificates]);
    return;
  }
  const create = tls.createSecureContext;
  tls.createSecureContext = (/** @type {any} */ options) => {
    const made = create(options);
    if (!options?.ca) for (const certificate of certificates) made.context.addCACert(certificate);
    return made;
  };
  require("node:module").syncBuiltinESMExports();
}

/**
 * @param {string} file
 * @returns {string[]}
 */
function read(file) {
  try {
    const found = readFileSync(file, "utf8").match(CERTIFICATE);
    if (found) return found;
    process.stderr.write(`NODE_EXTRA_CA_CERTS: ${file} holds no certificate in PEM form\n`);
  } catch (error) {
    process.stderr.write(`NODE_EXTRA_CA_CERTS: ${/** @type {Error} */ (error).message}; code is in /function\n`);
  }
  return [];
}

module.exports = { trust };
