export function handler(event) {
  for (let number = 0; number < 200; number += 1) console.log("line", number);
  console.log("last words");
  process.stdout.write("unfin");
  process.stdout.write("ished");
  if (event === "exit") process.reallyExit(3);
  if (event === "abort") process.abort();
  // More than once: some builds of V8 take a first SIGSEGV that no instruction caused, and let the next one through.
  for (;;) process.kill(process.pid, event === "kill" ? "SIGKILL" : "SIGSEGV");
}
