export function handler(event, context) {
  if (context.request.path === "/event") return `"${typeof event === "string" ? "text" : "object"}"`;
  try {
    return context.request.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { statusCode: 400, body: "bad JSON" };
  }
}
