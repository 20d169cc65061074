def handler(x: int, y: int):
    return x + y
