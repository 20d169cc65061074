// @ts-check
// Imports a module: what was compiled ahead of time (together.js) may not do so itself.
"use strict";

/**
 * @param {string} url absolute, or relative to this file
 * @returns {Promise<Record<string, unknown>>}
 */
module.exports = (url) => import(url);
