interface Account {
  balance: number;
}

class Overdrawn extends Error {}

function draw(account: Account, amount: number): number {
  if (amount > account.balance) throw new Overdrawn(`only ${account.balance} there`);
  return account.balance - amount;
}

export async function handler(event: { amount?: number; exit?: boolean; reject?: boolean }) {
  if (event.exit) Deno.exit(3);
  if (event.reject) await Promise.reject(new TypeError("no such thing"));
  return draw({ balance: 5 }, event.amount ?? 0);
}
