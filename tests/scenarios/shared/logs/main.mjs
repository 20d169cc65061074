import { execFileSync } from "node:child_process";
import { writeSync } from "node:fs";

export function handler(event) {
  if (event === "print") {
    console.log("one", 2);
    process.stdout.write("two\nthree\n");
    process.stderr.write("err\n");
    process.stdout.write("part");
    process.stdout.write(Buffer.from("ial bytes"));
  } else if (event === "raw") {
    writeSync(1, "raw out\nunfinished");
  } else if (event === "child") {
    execFileSync("/bin/sh", ["-c", "echo from a child"], { stdio: "inherit" });
  } else if (event === "long") {
    console.log("x".repeat(20_000));
    console.log("short");
  } else if (event === "flood") {
    for (let n = 0; n < 200; n += 1) console.log("y".repeat(10_000));
  }
  return "ok";
}
