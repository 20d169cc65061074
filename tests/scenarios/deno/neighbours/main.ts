import { shout } from "./lib/shout.ts";
import data from "./lib/data.json" with { type: "json" };

export const handler = (event: string): string => shout(event) + data.end;
