// {{name}}: called with the deliveries of a webhook, once their signature has been checked.

/** @param {any} event the decoded JSON body */
export async function handler(event) {
  const kind = event?.type ?? "unknown";
  console.log(`a delivery of type ${kind}`);
  return { received: kind };
}
