const { symbols: libc } = Deno.dlopen("libc.so.6", {
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
});

export async function handler() {
  const nonsense = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");
  libc.write(3, nonsense, BigInt(nonsense.length));
  await new Promise(() => setInterval(() => undefined, 1000));
}
