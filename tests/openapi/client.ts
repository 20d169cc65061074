// A program as users write it, with the types that openapi-typescript makes of the API's document. It deploys a function, calls it,
// walks a list, follows a log and meets each kind of error. Writes what it found as JSON.
import { blake3 } from "@noble/hashes/blake3.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import createClient from "openapi-fetch";

import type { components, paths } from "./api.js";

type Problem = components["schemas"]["Problem"];
type Trigger = components["schemas"]["TriggerSettings"];

const [baseUrl, key, name] = process.argv.slice(2) as [string, string, string];
const api = createClient<paths>({ baseUrl, headers: { "X-API-Key": key } });
const found: Record<string, unknown> = {};

/** The answer, or an exception with the problem. */
function good<T>(result: { data?: T; error?: unknown }): T {
  if (result.error !== undefined || result.data === undefined) throw new Error(JSON.stringify(result.error));
  return result.data;
}

/** The problem that a call was to end with. */
function problem(result: { error?: Problem; response: Response }): [number, string] {
  if (result.error === undefined) throw new Error("there is no problem");
  return [result.response.status, result.error.code];
}

/** The schedule of a trigger: each type has properties of its own, and `type` tells which. */
function schedule(settings: Trigger): string | undefined {
  return settings.type === "cron" ? settings.schedule.expression : undefined;
}

const code = new TextEncoder().encode("def handler(x: int):\n    print('x is', x)\n    return x + 1\n");
const digest = bytesToHex(blake3(code));
const file = { path: "main.py", size: code.length, digest };
const id = { path: { function: name } };

const plan = good(await api.POST("/api/v1/blobs/check", { body: { files: [file] } }));
for (const missing of plan.missing) {
  const { response } = await api.PUT("/api/v1/blobs/{digest}", {
    params: { path: { digest: missing } },
    headers: { "Content-Type": "application/octet-stream" },
    body: "",
    bodySerializer: () => code,
  });
  if (response.status !== 204) throw new Error(`upload: ${response.status}`);
}
const manifest = { name, triggers: [{ type: "cron", name: "daily", schedule: "@daily" }] };
const deployed = good(
  await api.POST("/api/v1/functions/{function}/deployments", {
    params: { ...id, header: { Prefer: "wait=60" } },
    body: { manifest, files: [file] },
  }),
);
if (deployed.state !== "succeeded") throw new Error(JSON.stringify(deployed));
found.version = deployed.version;

found.answer = good(await api.POST("/api/v1/functions/{function}/invoke", { params: id, body: { x: 1 } }));

const triggers = good(await api.GET("/api/v1/functions/{function}/triggers", { params: id }));
found.schedules = triggers.items.map((trigger) => schedule(trigger.settings));

// A list is walked by its cursor.
const names: string[] = [];
let cursor: string | undefined;
do {
  const query = cursor === undefined ? { limit: 1 } : { limit: 1, cursor };
  const page = good(await api.GET("/api/v1/functions", { params: { query } }));
  names.push(...page.items.map((one) => one.name));
  cursor = page.next_cursor ?? undefined;
} while (cursor !== undefined);
found.names = names;

// The log is followed until the line is there.
const followed = await api.GET("/api/v1/functions/{function}/logs", {
  params: { ...id, query: { follow: true, since: "1h" } },
  parseAs: "stream",
});
const reader = (followed.data as unknown as ReadableStream<Uint8Array>).getReader();
let text = "";
while (!text.includes("x is 1")) {
  const { done, value } = await reader.read();
  if (done) break;
  text += new TextDecoder().decode(value);
}
await reader.cancel();
found.followed = text.includes("x is 1");

found.missing = problem(await api.GET("/api/v1/functions/{function}", { params: { path: { function: "no-such-function" } } }));
found.taken = problem(await api.POST("/api/v1/functions", { body: { name } }));
found.invalid = problem(await api.POST("/api/v1/functions", { body: { name: "Not A Name" } }));
const stranger = createClient<paths>({ baseUrl, headers: { "X-API-Key": "fk_wrong" } });
found.unknown_key = problem(await stranger.GET("/api/v1/functions"));

console.log(JSON.stringify(found));
