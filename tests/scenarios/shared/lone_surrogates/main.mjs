export function handler({ how, name }) {
  if (how === "message") throw new Error(`unknown user ${name}`);
  if (how === "kind") throw Object.assign(new Error(name), { name });
  if (how === "source") new Function(`throw new Error("of no file")\n//# sourceURL=${name}.js`)();
  if (how === "long") throw new Error("x".repeat(8191) + "\u{1f600}".repeat(2));
  if (how === "reply") return { statusCode: name };
  if (how === "key") return { [name]: 1n };
  console.log("hello", name);
  return name;
}
