// function.config.ts
export default {
  name: "users",
  runtime: "nodejs20",
  handler: "index.handler",
  memory: 512, // MB
  timeout: 30, // seconds
  environment: {
    NODE_ENV: "production",
  },
  triggers: [
    { type: "http", path: "/api/users", methods: ["GET", "POST"] },
    { type: "schedule", cron: "0 0 * * *", timezone: "UTC" },
  ],
  scaling: { minInstances: 0, maxInstances: 100, targetConcurrency: 10 },
  vpc: { enabled: false, subnetIds: [] },
};
