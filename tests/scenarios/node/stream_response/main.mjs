const wait = (time) => new Promise((resolve) => setTimeout(resolve, time));

export async function handler(request) {
  const size = Number(new URL(request.url).searchParams.get("size"));
  let sent = 0;
  const body = new ReadableStream({
    async pull(controller) {
      if (sent === 0) await wait(5);
      controller.enqueue(new Uint8Array(1 << 16).fill(97));
      sent += 1 << 16;
      if (sent >= size) controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}
