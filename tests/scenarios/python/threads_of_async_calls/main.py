import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(2)


class Worker(threading.Thread):
    def run(self):
        print(self.name)


def in_thread(event):
    pool.submit(print, "pool in a thread", event).result()


async def joined(thread):
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.001)


async def handler(event):
    # Another call is under way all the time, so that nothing but the context can tell whose line it is.
    other = asyncio.create_task(asyncio.sleep(0.1))
    await asyncio.to_thread(print, "to_thread", event)
    await asyncio.get_running_loop().run_in_executor(None, print, "executor", event)
    await asyncio.wrap_future(pool.submit(print, "own pool", event))
    await joined(threading.Thread(target=print, args=("thread", event)))
    await joined(Worker(name=f"subclass {event}"))
    await joined(threading.Thread(target=in_thread, args=(event,)))
    other.cancel()
    return "ok"
