import { thrice } from "./helper.mjs";

export const handler = thrice;
