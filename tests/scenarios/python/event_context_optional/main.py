def handler(event, *rest):
    return [len(rest), rest[0].aws_request_id == rest[0].run_id, rest[0].request.text(), repr(rest[0])[:8]]
