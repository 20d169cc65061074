Promise.reject(new Error("lost"));
await new Promise((resolve) => setTimeout(resolve, 5_000));
export const handler = 1;
