def handler(x: int, y: int = 3):
    return x + y
