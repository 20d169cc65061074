import asyncio


async def handler(event):
    for number in range(3):
        await asyncio.sleep(0)
        yield f"{number}\n"
        if event == "fail" and number == 1:
            raise ValueError("mid-stream")
