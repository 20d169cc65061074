export function handler(event) {
  if (event === "parts") {
    process.stdout.write("one ");
    process.stdout.write("two ");
    process.stderr.write("error line\n");
    process.stdout.write("three\n");
  } else if (event === "end") process.stdout.write("no end");
  if (event === "parts") {
    const data = Buffer.from("grüße €\nfour");
    for (let at = 0; at < data.length; at += 1) process.stdout.write(data.subarray(at, at + 1));
  }
  return "ok";
}
