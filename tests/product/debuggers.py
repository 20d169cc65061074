"""Clients of debuggers: Chrome's protocol over a WebSocket, and the debug adapter protocol over TCP."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]

# How long a debugger may take to say something.
PATIENCE = 20


class Talk(ABC):
    """Requests with answers, and events between them."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.file = self.socket.makefile("rb")
        self.number = 0
        self.seen: list[Message] = []

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Goes away without a word."""
        self.file.close()
        self.socket.close()

    @abstractmethod
    def receive(self) -> Message:
        """The next message of the other side."""

    def until(self, fits: Callable[[Message], bool]) -> Message:
        """The first message that fits, whether it has come already or not."""
        while True:
            for at, message in enumerate(self.seen):
                if fits(message):
                    return self.seen.pop(at)
            self.seen.append(self.receive())

    def exactly(self, length: int) -> bytes:
        data = self.file.read(length)
        if data is None or len(data) < length:
            raise EOFError
        return data


class Inspector(Talk):
    """Attached to Node as a browser's tools are."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE) as answer:
            (target,) = json.load(answer)
        address = target["webSocketDebuggerUrl"].removeprefix("ws://")
        host, path = address.split("/", 1)
        # The address is the one outside, or no client could follow it.
        assert host == f"127.0.0.1:{port}", target
        super().__init__(port)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET /{path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        assert b"101" in self.file.readline()
        while self.file.readline().strip():
            pass

    def receive(self) -> Message:
        first, second = self.exactly(2)
        # Whole text frames are all that Node sends besides a close.
        if first != 0x81:
            raise EOFError
        length = second
        if length == 126:
            (length,) = struct.unpack(">H", self.exactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.exactly(8))
        return json.loads(self.exactly(length))

    def ask(self, method: str, **params: Any) -> Any:
        """The result of a command."""
        self.number += 1
        number = self.number
        payload = json.dumps({"id": number, "method": method, "params": params}).encode()
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self.socket.sendall(struct.pack(">BBH", 0x81, 0x80 | 126, len(payload)) + mask + masked)
        answer = self.until(lambda message: message.get("id") == number)
        assert "error" not in answer, answer
        return answer["result"]

    def event(self, name: str) -> Message:
        return self.until(lambda message: message.get("method") == name)["params"]

    def breaks_at(self, file: str, line: int) -> None:
        """Attaches for good, with a breakpoint; lines count from 1."""
        self.ask("Runtime.enable")
        self.ask("Debugger.enable")
        self.ask("Debugger.setBreakpointByUrl", url=f"file://{file}", lineNumber=line - 1)
        self.ask("Runtime.runIfWaitingForDebugger")

    def paused(self) -> str:
        """Waits for a breakpoint; the frame that is there."""
        return self.event("Debugger.paused")["callFrames"][0]["callFrameId"]

    def value(self, expression: str, frame: str) -> Any:
        asked = self.ask("Debugger.evaluateOnCallFrame", callFrameId=frame, expression=expression)
        return asked["result"]["value"]

    def resume(self) -> None:
        self.ask("Debugger.resume")


class Dap(Talk):
    """Attached to Python as editors are."""

    def receive(self) -> Message:
        length = 0
        while line := self.file.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if not length:
            raise EOFError
        return json.loads(self.exactly(length))

    def send(self, command: str, **arguments: Any) -> int:
        self.number += 1
        request = {"seq": self.number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        self.socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return self.number

    def answer(self, number: int) -> Any:
        answered = self.until(lambda message: message["type"] == "response" and message["request_seq"] == number)
        assert answered["success"], answered
        return answered.get("body")

    def ask(self, command: str, **arguments: Any) -> Any:
        return self.answer(self.send(command, **arguments))

    def event(self, name: str) -> Message:
        return self.until(lambda message: message["type"] == "event" and message["event"] == name)["body"]

    def breaks_at(self, root: str, file: str, line: int) -> None:
        """Attaches for good, with a breakpoint in the developer's own file."""
        self.ask("initialize", clientID="tests", adapterID="debugpy", pathFormat="path")
        mappings = [{"localRoot": root, "remoteRoot": "/function"}]
        attaching = self.send("attach", justMyCode=True, pathMappings=mappings)
        self.until(lambda message: message.get("event") == "initialized")
        place = {"path": f"{root}/{file}"}
        (breakpoint,) = self.ask("setBreakpoints", source=place, breakpoints=[{"line": line}])["breakpoints"]
        assert breakpoint["verified"], breakpoint
        self.ask("configurationDone")
        self.answer(attaching)

    def paused(self) -> Message:
        """Waits for a breakpoint; the frame that is there, with its `thread`."""
        thread = self.event("stopped")["threadId"]
        frames = self.ask("stackTrace", threadId=thread)["stackFrames"]
        return {**frames[0], "thread": thread, "frames": frames}

    def value(self, expression: str, frame: Message) -> str:
        return self.ask("evaluate", expression=expression, frameId=frame["id"], context="watch")["result"]

    def leave(self) -> None:
        """Goes away as editors do. debugpy can lose who comes next when somebody goes away without a word."""
        self.ask("disconnect", terminateDebuggee=False)

    def resume(self, frame: Message) -> None:
        self.ask("continue", threadId=frame["thread"])
