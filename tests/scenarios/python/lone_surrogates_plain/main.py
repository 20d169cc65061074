def handler(a: int):
    return a
