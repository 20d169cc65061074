"""{{name}}: a plain function. Its parameters come from the JSON body, its result goes back as {"result": ...}."""


def add(x: float, y: float = 0) -> float:
    """Adds two numbers."""
    return x + y
