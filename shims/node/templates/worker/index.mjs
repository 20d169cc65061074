// {{name}}: takes messages of a topic, several at once.

async function work(order) {
  console.log("working on", JSON.stringify(order));
}

/** Takes a batch. Messages that it names as failed come again; the others are done. */
export async function handler(event) {
  const failed = [];
  for (const message of event.messages) {
    try {
      await work(message.body);
    } catch (error) {
      console.error(`message ${message.id} failed:`, error);
      failed.push(message.id);
    }
  }
  return { failed };
}
