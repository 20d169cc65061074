import { createRequire } from "node:module";
import greet from "greeter";

const old = createRequire(import.meta.url)("old");

export const handler = (event) => greet(event) + old;
