"""What the interpreter compiles while it loads a function, for the server to lay beside the function's files.

Only a deployment's check asks for it. The files are valid for the very sources that they were made of and are never
compared with them again (PEP 552, unchecked), because a sealed version's sources do not change.
"""

from __future__ import annotations

import sys

from .protocol import CHUNK, PAYLOAD_MAX, Channel, pack

# Of a .pyc file: its magic number, then flags, then 8 bytes that say what it was made of.
_MAGIC_LEN, _HEADER_LEN = 4, 16
_UNCHECKED_HASH = b"\x01\0\0\0"


class Bytecode:
    """Collects compiled modules of the code directory from now on."""

    def __init__(self, code: str) -> None:
        import _frozen_importlib_external as importing

        self.prefix = f"{code}/"
        self.files: dict[str, bytes] = {}
        self.loader = importing.SourceFileLoader
        self.before = self.loader._cache_bytecode
        files, prefix = self.files, self.prefix

        def keep(_loader: object, _source: str, path: str, data: bytes) -> None:
            if path.startswith(prefix):
                files[path[len(prefix) :]] = bytes(data)

        self.loader._cache_bytecode = keep  # type: ignore[method-assign, assignment]
        sys.dont_write_bytecode = False

    def send(self, channel: Channel) -> None:
        """Ends it and sends what there is, one file a frame: the path's length, the path, the content."""
        sys.dont_write_bytecode = True
        self.loader._cache_bytecode = self.before  # type: ignore[method-assign]
        for path, data in self.files.items():
            name = path.encode("utf-8", "surrogateescape")
            size = len(name)
            unchecked = data[:_MAGIC_LEN] + _UNCHECKED_HASH + bytes(8) + data[_HEADER_LEN:]
            payload = size.to_bytes(4, "little") + name + unchecked
            if len(data) > _HEADER_LEN and len(payload) <= PAYLOAD_MAX:
                channel.send(pack(CHUNK, 0, payload))
