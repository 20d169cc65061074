import asyncio


async def handler(event, context):
    print("before")
    await asyncio.sleep(0.001)
    print("after")
    if event == "fail":
        raise ValueError("async failure")
    if event == "exit":
        raise SystemExit(4)
    return {"event": event, "run": context.run_id.startswith("run_")}
