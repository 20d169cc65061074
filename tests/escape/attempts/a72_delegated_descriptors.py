"""Have a process outside hand over a descriptor, or leave one's own there: passing them over the channel."""

import array
import os
import socket

from kit import denied, escaped


def attempt(event):
    channel = socket.socket(fileno=os.dup(3))
    channel.setblocking(False)
    try:
        _, ancillary, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(64), socket.MSG_PEEK)
    except BlockingIOError:
        ancillary = []
    for level, kind, given in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            return escaped(f"the server passes descriptors: {array.array('i', given[:4])}")
    return denied("nothing comes along with the frames")
