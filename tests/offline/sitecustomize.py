"""On PYTHONPATH, this cuts a Python process and its children off the network; attempts are noted in OFFLINE_LOG."""

import os
import socket
import sys

LOCAL = {None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::", socket.gethostname()}


def _host(event: str, args: tuple) -> str | None:
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
        return address[0] if isinstance(address, tuple) else None  # a path is a Unix socket
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        return args[0].decode() if isinstance(args[0], bytes) else args[0]
    return None


def _refuse(event: str, args: tuple) -> None:
    host = _host(event, args) if event.startswith("socket.") else None
    if host in LOCAL or host.startswith("127."):
        return
    if log := os.environ.get("OFFLINE_LOG"):
        with open(log, "a") as file:
            file.write(f"{event} {host}\n")
    raise OSError(f"the network is off in this test: {event} to {host}")


sys.addaudithook(_refuse)
