interface Greeter {
  greeting: string;
  fetch(request: Request): Promise<Response> | string;
}

const greeter = {
  greeting: "hello",
  async fetch(request: Request): Promise<unknown> {
    const url = new URL(request.url);
    if (url.pathname === "/json") return Response.json({ got: await request.json(), by: this.greeting });
    if (url.pathname === "/none") return new Response(null, { status: 204 });
    if (url.pathname === "/cookies") {
      const headers = new Headers({ "x-a": "1" });
      headers.append("set-cookie", "a=1");
      headers.append("set-cookie", "b=2");
      return new Response("ok", { status: 201, headers });
    }
    if (url.pathname === "/redirect") return Response.redirect("http://localhost/x", 307);
    if (url.pathname === "/bytes") return new Response(new Uint8Array([97, 98]));
    if (url.pathname === "/text") return "no response";
    return new Response(`${request.method} ${request.url} ${request.headers.get("x-one")} ${await request.text()}`);
  },
};

export default greeter as Greeter;
