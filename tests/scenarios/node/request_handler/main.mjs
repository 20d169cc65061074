export async function handler(request) {
  return new Response(request.body, { headers: { "content-type": request.headers.get("content-type") ?? "none" } });
}
