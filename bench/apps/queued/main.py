def handler(n: int):
    return n
