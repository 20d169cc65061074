import faas


def told(call, *arguments, **named):
    try:
        return call(*arguments, **named)
    except faas.PublishError as error:
        return [error.code, str(error)]


def handler(event):
    return [
        told(faas.publish, "paid", {"n": 7, "s": "ü"}, subject="s", source="/x", id="1"),
        told(faas.publish, "paid"),
        told(faas.publish, "paid", b"raw"),
        told(faas.publish, None, "text"),
        told(faas.publish, "refused"),
        told(faas.publish, 7),
        told(faas.send, "orders", ["a"], attributes={"b": "2", "a": "1"}),
        told(faas.send, "refused", None),
        told(faas.publish, "paid", "x" * (1 << 20))[0],
    ]
