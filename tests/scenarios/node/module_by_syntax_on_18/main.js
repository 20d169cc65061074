import { basename } from "node:path";

export const handler = (event) => basename(event);
