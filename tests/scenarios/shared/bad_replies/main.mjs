const REPLIES = {
  status: { status: 99, body: "" },
  name: { status: 200, headers: { "a b": "1" }, body: "" },
  value: { status: 200, headers: { a: "1\r\nb: 2" }, body: "" },
};

export function handler(event) {
  if (event in REPLIES) return REPLIES[event];
  if (event === "large") return "x".repeat(11 << 20);
  if (event === "circle") {
    const value = { list: [1] };
    value.list.push({ value });
    return value;
  }
  return "fine";
}
