"""What people see in a terminal, looked at through a pseudo terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import unicodedata
from pathlib import Path

from harness import Server, write_function

HOSTILE = (
    "a\x1b]0;title\x07\x1b]52;c;aGk=\x07\x1b[2J\u009b31m\u202egnp"
    "\u2066\u2028\u200f\u061c\u00ad\ufeff\u200b\U000e0041\ufe0f\u3164 z"
)
CODE = f"""
def handler(event, context):
    text = {HOSTILE!r}
    print(text)
    if context.request.query.get("fail"):
        raise ValueError(text)
    if context.request.query.get("raw"):
        return {{"statusCode": 200, "headers": {{"content-type": "text/plain", "x-odd": "b\\u009b2Jc"}}, "body": text}}
    return {{"text": text}}
"""


def seen(server: Server, *words: str) -> str:
    """What a command writes where both of its streams are a terminal."""
    ours, theirs = pty.openpty()
    try:
        command = [str(server.program), *words]
        process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=server.cli.env | {"TERM": "xterm"}
        )
        os.close(theirs)
        theirs = -1
        written = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            written += part
        process.wait(60)
        return written.decode()
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def steering(text: str) -> list[str]:
    """Letters that steer a terminal, but for line ends and our own colours."""
    for colour in ("\x1b[33m", "\x1b[1;31m", "\x1b[2m", "\x1b[0m"):
        text = text.replace(colour, "")
    # Besides the categories: what is to be ignored where it is not known, of others.
    odd = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe0f\U000e0100"
    unseen = ("Cc", "Cf", "Zl", "Zp")
    return [c for c in text if c not in "\r\n\t" and (unicodedata.category(c) in unseen or c in odd)]


def test_nothing_of_a_function_steers_a_terminal(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, CODE))
    for words in (
        ["invoke", name, "-i", "-X", "GET", "--path", "/?raw=1"],
        ["invoke", name, "-X", "GET", "--path", "/?raw=1", "-o", "json"],
        ["invoke", name],
        ["invoke", name, "-o", "json"],
        ["invoke", name, "-X", "GET", "--path", "/?fail=1"],
        ["logs", name],
        ["logs", name, "-o", "ndjson"],
        ["runs", "list", "-o", "json"],
        ["api", "GET", f"/api/v1/functions/{name}/logs"],
    ):
        text = seen(server, *words)
        assert text.strip(), words
        assert steering(text) == [], (words, text)
    shown = seen(server, "invoke", name, "-X", "GET", "--path", "/?raw=1")
    assert "\\u{1b}]52;c;aGk=\\u{7}" in shown
    assert "\\u{9b}31m" in shown


def test_a_pipe_gets_the_bytes_as_they_are(server: Server, tmp_path: Path, name: str) -> None:
    server.deploy(write_function(tmp_path, name, CODE))
    words = [str(server.program), "invoke", name, "-X", "GET", "--path", "/?raw=1"]
    done = subprocess.run(words, env=server.cli.env, capture_output=True, timeout=60, check=True)
    assert done.stdout.decode() == HOSTILE
    reply = server.cli("invoke", name, "-o", "json").ok()
    assert json.loads(reply.stdout)["body"] == {"text": HOSTILE}


def test_words_of_the_command_line_are_repeated_as_text(server: Server) -> None:
    for words in (
        ["fn", "list", HOSTILE],
        ["deploy", f"--{HOSTILE}"],
        ["runs", "list", "--limit", HOSTILE],
        ["-o", HOSTILE, "fn", "list"],
        [HOSTILE],
        ["fn", HOSTILE],
        ["fn", "get", HOSTILE],
        ["deploy", HOSTILE],
        ["explain", HOSTILE],
    ):
        text = seen(server, *words)
        assert "rror" in text, (words, text)
        assert steering(text) == [], (words, text)
