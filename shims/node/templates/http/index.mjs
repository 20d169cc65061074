// {{name}}: a function that is called with a Request and answers with a Response, as of the Fetch standard.

export default {
  /** @param {Request} request */
  async fetch(request) {
    const body = request.headers.get("content-type")?.includes("json") ? await request.json() : {};
    const name = body.name ?? new URL(request.url).searchParams.get("name") ?? "world";
    console.log(`greeting ${name}`);
    return Response.json({ message: `${process.env.GREETING}, ${name}` });
  },
};
