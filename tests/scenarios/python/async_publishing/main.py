import asyncio

import faas


async def handler(event):
    asked = [faas.publish_async("paid", n) for n in range(5)]
    told = await asyncio.gather(*asked, faas.send_async("refused", 1), return_exceptions=True)
    threaded = await asyncio.to_thread(faas.send, "orders", b"raw")
    try:
        faas.publish("paid")
    except faas.PublishError as error:
        blocked = "publish_async" in str(error)
    return [*told[:5], told[5].code, threaded, blocked]
