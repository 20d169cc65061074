import asyncio

kept = []


async def later():
    await asyncio.sleep(0.01)
    print("after the end")


async def handler(event):
    if event == "start":
        kept.append(asyncio.create_task(later()))
        return "started"
    await kept[0]
    return "waited"
