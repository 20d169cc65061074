"""What the outside tests share: a real server, its HTTP and command-line doors, and what it leaves on the machine."""

from .api import Api
from .bundle import write_function
from .cli import Cli, CliResult
from .footprint import Footprint
from .http import Client, Reply
from .machine import MACHINE, Machine
from .server import Server, ServerDownError, free_port
from .wait import until
from .ways import WAYS

__all__ = [
    "MACHINE",
    "WAYS",
    "Api",
    "Cli",
    "CliResult",
    "Client",
    "Footprint",
    "Machine",
    "Reply",
    "Server",
    "ServerDownError",
    "free_port",
    "until",
    "write_function",
]
