def handler(n: int = 0, f: float = 0.0, fs: list[float] = ()):
    return f or n
