console.log("while loading");

export function handler(event) {
  console.debug("fine print");
  console.info("%s is %d", "n", 1);
  console.warn("careful");
  console.error(new Error("bad").message);
  console.group("group");
  console.log({ a: [1, 2] });
  console.groupEnd();
  console.assert(event === 1, "not one");
  return "ok";
}
