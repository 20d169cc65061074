async def handler(name: str, times: int = 1):
    return name * times
