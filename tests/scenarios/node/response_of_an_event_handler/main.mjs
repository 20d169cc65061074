export const handler = async (event) => new Response(`hi ${event.name}`, { status: 203 });
