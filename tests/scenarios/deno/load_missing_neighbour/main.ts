import { pad } from "./lib/pad.js";

export const handler = (event: string): string => pad(event);
