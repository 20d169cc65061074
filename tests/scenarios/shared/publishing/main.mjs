const told = async (call, ...rest) => {
  try {
    return await call(...rest);
  } catch (error) {
    if (!(error instanceof faas.PublishError)) throw error;
    return [error.code, error.message];
  }
};

export async function handler() {
  return [
    await told(faas.publish, "paid", { n: 7, s: "ü" }, { subject: "s", source: "/x", id: "1" }),
    await told(faas.publish, "paid"),
    await told(faas.publish, "paid", Buffer.from("raw")),
    await told(faas.publish, null, "text"),
    await told(faas.publish, "refused"),
    await told(faas.publish, 7),
    await told(faas.send, "orders", ["a"], { attributes: { b: "2", a: "1" } }),
    await told(faas.send, "refused", null),
    (await told(faas.publish, "paid", "x".repeat(1 << 20)))[0],
  ];
}
