// BullMQ: `work` runs jobs, `call` hands them over as `callers.py` does.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { Queue, Worker } = createRequire(`${process.env.BENCH_NPM}/`)("bullmq");
const connection = { host: "127.0.0.1", port: Number(process.env.REDIS_PORT), maxRetriesPerRequest: null };

async function caller(queue, end, samples) {
  while (performance.now() < end) {
    const began = performance.now();
    await queue.add("noop", { n: 1 }, { removeOnComplete: true });
    samples.push(Math.round((performance.now() - began) * 1000));
  }
}

async function call() {
  const queue = new Queue("jobs", { connection });
  await queue.waitUntilReady();
  console.log("{}");
  for await (const line of createInterface({ input: process.stdin })) {
    const [callers, seconds] = line.split(" ").map(Number);
    const samples = [];
    const began = performance.now();
    const end = began + seconds * 1000;
    await Promise.all(Array.from({ length: callers }, () => caller(queue, end, samples)));
    console.log(JSON.stringify({ us: Math.round((performance.now() - began) * 1000), samples }));
  }
  await queue.close();
}

if (process.argv[2] === "work") {
  new Worker("jobs", async (job) => job.data.n, { connection, concurrency: 64 });
} else {
  await call();
}
