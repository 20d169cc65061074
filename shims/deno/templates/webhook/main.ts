// {{name}}: called with the deliveries of a webhook, once their signature has been checked.

/** Takes the decoded JSON body. */
export function handler(event: { type?: string } | null): { received: string } {
  const kind = event?.type ?? "unknown";
  console.log(`a delivery of type ${kind}`);
  return { received: kind };
}
