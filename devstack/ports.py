"""A loopback port for a program that wants to be told one."""

import socket


def free_port() -> int:
    """Return a port that nobody has now. Choose it as late as can be: whoever binds to port 0 meanwhile may get it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
