const value = await new Promise((resolve) => setTimeout(resolve, 5, "ready"));

export const handler = () => value;
