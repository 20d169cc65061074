// Run by a program that was found, with `eval`: tells what it is and which files it consists of. From 2.9 on a socket can be
// made of a file descriptor, which the shim needs.
const { deno } = Deno.version;
const [major, minor] = deno.split(".").map(Number);
console.log(
  JSON.stringify({
    implementation: major > 2 || minor >= 9 ? "deno" : "older deno",
    version: deno,
    final: !deno.includes("-") && !deno.includes("+"),
    program: { from: Deno.realPathSync(Deno.execPath()), to: "opt/deno/bin/deno" },
  }),
);
