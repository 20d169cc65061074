export function handler(event, context) {
  context.mark = "yes";
  return {
    arn: context.invokedFunctionArn,
    group: context.logGroupName,
    stream: context.logStreamName === context.awsRequestId,
    identity: context.identity === undefined,
    client: context.clientContext === undefined,
    attempt: context.attempt,
    kept: context.mark,
  };
}
