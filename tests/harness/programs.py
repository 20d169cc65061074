"""Programs that functions are tried against: PostgreSQL, Redis and nginx, each on an address of a test's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from .network import port_of
from .paths import TARGET
from .wait import until

PLACE = TARGET / "tools/servers"
# The user of everyone's that owns nothing: PostgreSQL refuses to run as root.
NOBODY = 65534


def installed(pattern: str) -> str | None:
    """A server's program: the machine's own, or one of those that `scripts/setup test` fetched."""
    found = [path for root in (Path("/"), PLACE) for path in sorted(root.glob(pattern)) if path.exists()]
    return str(found[-1]) if found else None


POSTGRES = "usr/lib/postgresql/*/bin/postgres"
REDIS = "usr/bin/redis-check-rdb"
NGINX = "usr/sbin/nginx"


class Program(ABC):
    """A server in the foreground, with a directory that goes with it."""

    def __init__(self, address: str, port: int | None = None) -> None:
        self.address = address
        self.port = port or port_of(address)
        self.home = Path(tempfile.mkdtemp(prefix="faas-peer-"))
        self.log = self.home / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.env = os.environ | {"LD_LIBRARY_PATH": str(PLACE / "usr/lib/x86_64-linux-gnu"), "LC_ALL": "C"}

    @abstractmethod
    def command(self) -> list[str]:
        """What runs it."""

    def __enter__(self) -> Self:
        try:
            command = self.command()
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env)
            until(self._answers, f"{command[0]} answers", within=60)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends it, and removes what it wrote."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        shutil.rmtree(self.home, ignore_errors=True)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(errors="replace")[-2000:]
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), timeout=1):
            return True
        return False


class Postgres(Program):
    """PostgreSQL with TLS. Its program believes that `nobody` runs it, who owns what root owns."""

    def __init__(self, address: str, port: int, certificate: Path) -> None:
        super().__init__(address, port)
        self.certificate = certificate

    def command(self) -> list[str]:
        postgres = installed(POSTGRES)
        assert postgres is not None
        as_nobody = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
        data, secret = self.home / "data", self.home / "password"
        secret.write_text("open-sesame\n")
        initdb = [str(Path(postgres).with_name("initdb")), "--pgdata", str(data), "--username", "app", "--no-sync"]
        initdb += ["--auth", "scram-sha-256", "--pwfile", str(secret), "--encoding", "UTF8", "--no-locale"]
        subprocess.run([*as_nobody, *initdb], check=True, capture_output=True, env=self.env, timeout=120)
        key = self.home / "server.pem"
        shutil.copy(self.certificate, key)
        key.chmod(0o600)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        settings = {"port": self.port, "listen_addresses": self.address, "unix_socket_directories": "", "fsync": "off"}
        settings |= {"ssl": "on", "ssl_cert_file": key, "ssl_key_file": key, "shared_buffers": "16MB", "jit": "off"}
        return [*as_nobody, postgres, "-D", str(data), *(f"--{name}={value}" for name, value in settings.items())]


class Redis(Program):
    """Redis without persistence."""

    def command(self) -> list[str]:
        redis = installed(REDIS)
        assert redis is not None
        # The program is whatever name it is called by.
        server = self.home / "redis-server"
        server.symlink_to(redis)
        bind = ["--bind", self.address, "--port", str(self.port), "--protected-mode", "no"]
        return [str(server), *bind, "--save", "", "--dir", str(self.home)]


class Nginx(Program):
    """nginx with TLS before a server in plain HTTP; it says which of its connections a request came by."""

    def __init__(self, address: str, port: int, certificate: Path, behind: str) -> None:
        super().__init__(address, port)
        self.certificate, self.behind = certificate, behind

    def command(self) -> list[str]:
        nginx = installed(NGINX)
        assert nginx is not None
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"{kind}_temp_path {self.home}/{kind};\n" for kind in kinds)
        (self.home / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {self.home}/pid; error_log {self.log};
events {{ worker_connections 256; }}
http {{
    access_log off; client_max_body_size 0; proxy_request_buffering off; {places}
    server {{
        listen {self.address}:{self.port} ssl http2;
        ssl_certificate {self.certificate}; ssl_certificate_key {self.certificate};
        add_header X-Connection $connection;
        add_header X-Protocol $server_protocol;
        location / {{ proxy_pass {self.behind}; proxy_http_version 1.1; proxy_set_header Host $http_host; }}
        location /repos/ {{ default_type application/json; return 200 '{{"stargazers_count": 7}}'; }}
        location /large {{ root {self.home}; }}
    }}
}}
""")
        with (self.home / "large").open("wb") as large:
            large.truncate(32 << 20)
        return [nginx, "-c", str(self.home / "nginx.conf"), "-p", str(self.home)]
