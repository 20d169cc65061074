const circle = new Map();
circle.set("self", { circle });
const VALUES = {
  map: new Map([["a", 1], [2, [3]]]),
  set: new Set([1, "b"]),
  error: new TypeError("not thrown"),
  json: Object.assign(new Error("not thrown"), { toJSON: () => ({ a: 1 }) }),
  date: { status: 200, headers: { "last-modified": new Date(0) }, body: new Map([["a", 1]]) },
  nested: { a: new Map([["b", { c: new Set([1, 2]) }]]), d: [new Map([["x", { y: new Set([3]) }]])].map((m) => [...m.entries()][0]), at: new Date(0), n: 5 },
  deep_error: { items: [{ why: new RangeError("not thrown") }] },
  promise: { rows: Promise.resolve([1]) },
  big: { m: new Map([["n", 1n]]) },
  key: { m: new Map([[{}, 1]]) },
  circle,
  untouched: { re: /a/, bytes: new Uint8Array([1]), own: { toJSON: () => ({ a: 1 }) }, boxed: new Number(3), e: undefined },
};

export const handler = (event) => VALUES[event];
