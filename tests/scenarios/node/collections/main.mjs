const VALUES = {
  map: new Map([["a", 1], [2, [3]]]),
  set: new Set([1, "b"]),
  error: new TypeError("not thrown"),
  json: Object.assign(new Error("not thrown"), { toJSON: () => ({ a: 1 }) }),
  date: { status: 200, headers: { "last-modified": new Date(0) }, body: new Map([["a", 1]]) },
};

export const handler = (event) => VALUES[event];
