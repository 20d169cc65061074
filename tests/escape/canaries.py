"""A function that leaves a trace in every place it can, and looks for traces that an earlier one left."""

CODE = """
import builtins, ctypes, glob, json, os, resource, signal, socket, sys, tempfile, threading, time

libc = ctypes.CDLL(None, use_errno=True)
MARK, KEY = "canary-8d1f", 0x0CA7A47
FOLDERS = ("/tmp", "/dev/shm", "/var/tmp", "/run", "/function", os.path.expanduser("~"), tempfile.gettempdir(), ".")
START = os.getcwd()


def leave():
    for folder in FOLDERS:
        try:
            open(f"{folder}/{MARK}", "w").write(MARK)
        except OSError:
            pass
    os.environ[MARK] = "left"
    builtins.canary = MARK
    json.canary = MARK
    sys.path.append(f"/tmp/{MARK}")
    for get, name in ((libc.shmget, "shm"), (libc.semget, "sem")):
        get(KEY, 1, 0o1666)
    libc.msgget(KEY, 0o1666)
    libc.mq_open(f"/{MARK}".encode(), os.O_CREAT | os.O_RDWR, 0o600, None)
    keep = builtins.kept = [socket.socket(socket.AF_UNIX), socket.socket(), os.memfd_create(MARK)]
    keep[0].bind("\\0" + MARK)
    keep[0].listen()
    try:
        keep[1].bind(("127.0.0.1", 47123))
        keep[1].listen()
    except OSError:
        pass
    os.umask(0o077)
    os.chdir("/tmp")
    os.nice(5)
    signal.signal(signal.SIGUSR2, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
    libc.prctl(15, MARK[:12].encode(), 0, 0, 0)
    threading.Thread(target=time.sleep, args=(600,), daemon=True, name=MARK).start()


def leave_a_daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            libc.prctl(15, MARK[:12].encode(), 0, 0, 0)
            time.sleep(600)
        os._exit(0)


def look(niceness):
    found = [f"{folder}/{MARK}" for folder in FOLDERS if os.path.exists(f"{folder}/{MARK}")]
    found += ["environment"] * (MARK in os.environ)
    found += ["builtins"] * hasattr(builtins, "canary") + ["a module"] * hasattr(json, "canary")
    found += ["sys.path"] * (f"/tmp/{MARK}" in sys.path)
    found += ["shared memory"] * (libc.shmget(KEY, 0, 0) >= 0) + ["a semaphore"] * (libc.semget(KEY, 0, 0) >= 0)
    found += ["a queue"] * (libc.msgget(KEY, 0) >= 0)
    found += ["a named queue"] * (libc.mq_open(f"/{MARK}".encode(), os.O_RDWR) >= 0)
    abstract, port = (socket.AF_UNIX, "\\0" + MARK), (socket.AF_INET, ("127.0.0.1", 47123))
    for name, (family, address) in {"an abstract socket": abstract, "a port": port}.items():
        with socket.socket(family) as tried:
            try:
                tried.connect(address)
                found.append(name)
            except OSError:
                pass
    mask = os.umask(0o022)
    os.umask(mask)
    found += ["umask"] * (mask != 0o022)
    found += ["working directory"] * (os.getcwd() != START or os.getcwd() == "/tmp")
    found += ["niceness"] * (os.nice(0) != niceness)
    found += ["a signal's handler"] * (signal.getsignal(signal.SIGUSR2) is not signal.SIG_DFL)
    found += ["a blocked signal"] * (signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, []))
    found += ["a limit"] * (resource.getrlimit(resource.RLIMIT_NOFILE)[1] == 200)
    found += ["a thread"] * any(thread.name == MARK for thread in threading.enumerate())
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            found += [f"process {path}"] * (MARK[:12] in open(path).read())
        except OSError:
            pass
    for fd in os.listdir("/proc/self/fd"):
        try:
            found += [f"descriptor {fd}"] * (MARK in os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            pass
    return found


def handler(event):
    seen = look(event.get("niceness", 0))
    if event.get("leave"):
        leave()
    if event.get("daemon"):
        leave_a_daemon()
    if event.get("then") == "sleep":
        time.sleep(600)
    if event.get("then") == "crash":
        os.abort()
    if event.get("then") == "exit":
        os._exit(3)
    if event.get("then") == "grow":
        return len(bytearray(2 << 30))
    return {"seen": seen, "own": os.environ.get("OWN"), "version": VERSION}
"""


def code(version: int) -> str:
    """The function's file; another version is another file."""
    return f"{CODE}\n\nVERSION = {version}\n"
