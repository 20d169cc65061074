import { f } from "util.mjs";

export const handler = f;
