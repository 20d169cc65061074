// {{name}}: takes messages of a topic, several at once.

interface Message {
  id: string;
  body: unknown;
}

async function work(order: unknown): Promise<void> {
  console.log("working on", JSON.stringify(order));
}

/** Takes a batch. Messages that it names as failed come again; the others are done. */
export async function handler(event: { messages: Message[] }): Promise<{ failed: string[] }> {
  const failed: string[] = [];
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
