enum Size {
  Small = 1,
  Large = 10,
}

interface Order {
  size: keyof typeof Size;
  count?: number;
}

type Context = { function: string; runId: string; request: { method: string } };

export function handler(order: Order, context: Context) {
  console.log("order of", order.size);
  return { total: Size[order.size] * (order.count ?? 1), name: context.function, method: context.request.method };
}
