import { writeSync } from "node:fs";

export async function handler() {
  writeSync(3, "GET / HTTP/1.1\r\n\r\n");
  await new Promise((resolve) => setTimeout(resolve, 10_000));
}
