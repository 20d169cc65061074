import process from "node:process";

export function handler() {
  return {
    own: Deno.env.get("GREETING"),
    same: process.env.GREETING,
    platform: Deno.env.get("FAAS_RUNTIME"),
    path: import.meta.url.endsWith("/main.ts") && Deno.cwd() === import.meta.dirname,
    color: Deno.noColor,
  };
}
