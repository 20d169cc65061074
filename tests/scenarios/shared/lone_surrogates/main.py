def handler(event):
    name = event["name"]
    if event["how"] == "message":
        raise ValueError(f"unknown user {name}")
    if event["how"] == "kind":
        raise type("No", (Exception,), {"__module__": name})(name)
    if event["how"] == "source":
        exec(compile("raise ValueError('of no file')", f"{name}.py", "exec"), {})
    if event["how"] == "long":
        raise ValueError("x" * 8191 + "\U0001f600" * 2)
    if event["how"] == "reply":
        return {"statusCode": name}
    if event["how"] == "key":
        return {name: object()}
    print("hello", name)
    return name
