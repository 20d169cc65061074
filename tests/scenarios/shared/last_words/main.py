import ctypes
import os
import signal


def handler(event):
    for number in range(200):
        print("line", number)
    print("last words")
    print("unfin", end="")
    print("ished", end="", flush=True)
    if event == "exit":
        os._exit(3)
    if event == "abort":
        os.abort()
    if event == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    ctypes.string_at(0)
