// {{name}}: called by a schedule.

/** Does what is due. The time of the tick is in the header x-faas-scheduled-at. */
export async function handler(event, context) {
  console.log(`due at ${context.request.headers["x-faas-scheduled-at"]}`);
  return { done: true };
}
