def handler(event, context):
    context.mark = "yes"
    return {
        "arn": context.invoked_function_arn,
        "group": context.log_group_name,
        "stream": context.log_stream_name == context.aws_request_id,
        "identity": context.identity.cognito_identity_id is None,
        "client": context.client_context is None,
        "attempt": context.attempt,
        "kept": context.mark,
    }
