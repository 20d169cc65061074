def handler(a: int = 0):
    return a
