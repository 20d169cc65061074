import os


def handler(event):
    child = os.fork()
    if child == 0:
        print("printed by the child", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    if event == "escape" and os.fork() == 0:
        return "from the child"
    return "from the parent"
