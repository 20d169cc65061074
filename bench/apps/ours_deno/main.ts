export const handler = (event: unknown) => ({ hello: "world", event });
