const wait = (time) => new Promise((resolve) => setTimeout(resolve, time));

async function* count() {
  for (let n = 3; n > 0; n -= 1) {
    yield `${n}\n`;
    await wait(200);
  }
  yield "lift-off\n";
}

export default {
  /** @param {Request} request */
  async fetch(request) {
    const url = new URL(request.url);
    if (url.pathname.endsWith("/count")) {
      const stream = new ReadableStream({
        async start(controller) {
          for await (const line of count()) controller.enqueue(new TextEncoder().encode(line));
          controller.close();
        },
      });
      return new Response(stream, { headers: { "content-type": "text/plain; charset=utf-8" } });
    }
    const name = url.searchParams.get("name") ?? "world";
    console.log(`greeting ${name} on Node ${process.versions.node}`);
    return Response.json({ message: `${process.env.GREETING}, ${name}`, path: url.pathname });
  },
};
