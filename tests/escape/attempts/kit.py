"""What the attempts share: raw system calls and the two answers."""

import ctypes
import errno
import json
import os
import signal

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

REFUSED = {errno.EPERM, errno.EACCES, errno.ENOSYS}
NO_SUCH_SOCKET = REFUSED | {errno.EAFNOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EPROTONOSUPPORT}
NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM}
SEALED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT}

CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNS = 0x0002_0000


def denied(how):
    return {"denied": True, "how": how}


def escaped(how):
    return {"denied": False, "how": how}


def every(results):
    """Denied only when each part is; tells the first that is not."""
    results = list(results)
    broken = [r for r in results if not r["denied"]]
    return broken[0] if broken else denied("; ".join(r["how"] for r in results))


def syscall(number, *args):
    """The raw call: its value and errno (0 when it worked)."""
    ctypes.set_errno(0)
    words = [a if isinstance(a, (ctypes._SimpleCData, ctypes.Array)) else ctypes.c_long(a) for a in args]
    value = libc.syscall(ctypes.c_long(number), *words)
    return value, ctypes.get_errno() if value == -1 else 0


def refused(what, result, allowed=REFUSED):
    """Denied when the call failed in one of the ways that mean a refusal. EFAULT or EINVAL would mean that the kernel
    looked at the arguments, so the call itself was open."""
    value, code = result
    if value == -1 and code in allowed:
        return denied(f"{what}: {errno.errorcode.get(code, code)}")
    if value == -1:
        return escaped(f"{what} failed with {errno.errorcode.get(code, code)}, which is no refusal")
    return escaped(f"{what} returned {value}")


def barred(what, action, allowed=REFUSED):
    """The same for Python calls that raise OSError."""
    try:
        value = action()
    except OSError as error:
        if error.errno in allowed:
            return denied(f"{what}: {errno.errorcode.get(error.errno, error.errno)}")
        return escaped(f"{what} failed with {error}, which is no refusal")
    return escaped(f"{what} worked: {value!r}"[:300])


def in_child(action):
    """Runs the attempt in a forked child, so that a killing filter takes only the child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(action()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        answer = f"the child was killed by {signal.Signals(number).name}"
        return denied(answer) if number in (signal.SIGSYS, signal.SIGSEGV) else escaped(answer)
    return json.loads(said) if said else escaped("the child ended without an answer")
