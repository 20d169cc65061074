const later = async (value) => value;

async function* lines() {
  console.log("streaming");
  yield { n: 1 };
  yield { n: 2 };
}

const REPLIES = {
  text: "grüße",
  bytes: new TextEncoder().encode("abc"),
  none: null,
  number: 1.5,
  list: [1, 2],
  nested: { a: [{ b: null }] },
  proxy: { statusCode: 302, headers: { Location: "/x" }, body: "" },
  proxy64: { statusCode: 200, body: "AAE=", isBase64Encoded: true, cookies: ["c=1"] },
  proxyjson: { statusCode: "200", body: { a: 1 } },
  response: { status: 202, headers: { "Content-Type": "text/html", "Set-Cookie": ["a=1", "b=2"] }, body: "<p>" },
  empty: { status: 204, body: null },
  data: { status: "ok", body: 1 },
  lines,
  nothing: async function* () {},
};

export function handler(event) {
  const value = REPLIES[event];
  return typeof value === "function" ? value() : later(value);
}
