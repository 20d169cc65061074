// {{name}}: a function that is called with a Request and answers with a Response, as of the Fetch standard.

export default {
  async fetch(request: Request): Promise<Response> {
    const body = request.headers.get("content-type")?.includes("json") ? await request.json() : {};
    const name: string = body.name ?? new URL(request.url).searchParams.get("name") ?? "world";
    console.log(`greeting ${name}`);
    return Response.json({ message: `${Deno.env.get("GREETING")}, ${name}` });
  },
};
