export async function handler() {
  process.reallyExit(3);
  await new Promise((resolve) => setTimeout(resolve, 10_000));
}
