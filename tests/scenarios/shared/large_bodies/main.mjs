export function handler(event) {
  return typeof event === "string" ? event : "x".repeat(event);
}
