"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.default = { fetch: () => new Response("compiled") };
