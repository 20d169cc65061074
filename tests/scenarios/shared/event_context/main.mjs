export function handler(event, context) {
  return {
    event,
    run: context.runId.startsWith("run_") && context.awsRequestId === context.runId,
    function: context.function,
    version: context.version,
    memory: context.memoryLimitMb,
    time_left: 0 < context.getRemainingTimeInMillis() && context.getRemainingTimeInMillis() <= 30_000,
    method: context.request.method,
    path: context.request.path,
    query: context.request.query,
    header: context.request.headers["x-one"],
    body: context.request.body.length,
    greeting: process.env.GREETING,
    name: process.env.FAAS_FUNCTION,
  };
}
