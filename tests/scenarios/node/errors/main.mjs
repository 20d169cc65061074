import { fail } from "./lib/helper.mjs";

class Custom extends Error {}

const forever = (n) => forever(n + 1) + 1;

export async function handler(event) {
  if (event === "none") return null.name;
  if (event === "helper") fail();
  if (event === "custom") throw new Custom("own class");
  if (event === "recursion") return forever(0);
  if (event === "text") throw "just text";
  if (event === "object") throw { code: 7 };
  if (event === "cause") {
    try {
      fail();
    } catch (error) {
      throw new Error("outer", { cause: error });
    }
  }
  if (event === "reject") await Promise.reject(new TypeError("rejected"));
  if (event === "timer") await new Promise(() => setTimeout(() => fail(), 1));
  if (event === "unhandled") {
    Promise.reject(new TypeError("forgotten"));
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  }
  if (event === "exit") process.exit(3);
  if (event === "json") return JSON.parse("{");
  if (event === "bigint") return { a: [1n] };
  if (event === "function") return () => 1;
  if (event === "long") throw new Error("x".repeat(5_000_000));
  if (event === "hostile") {
    throw new Proxy(new Error(), {
      get() {
        throw new Error("no");
      },
    });
  }
  return "fine";
}
