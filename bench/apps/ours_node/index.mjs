export function handler(event) {
  return { hello: "world" };
}
