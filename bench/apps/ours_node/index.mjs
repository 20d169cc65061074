export const handler = () => ({ hello: "world" });
