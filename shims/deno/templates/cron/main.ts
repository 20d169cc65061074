// {{name}}: called by a schedule.

interface Context {
  request: { headers: Record<string, string> };
}

/** Does what is due. The time of the tick is in the header x-faas-scheduled-at. */
export function handler(_event: unknown, context: Context): { done: boolean } {
  console.log(`due at ${context.request.headers["x-faas-scheduled-at"]}`);
  return { done: true };
}
