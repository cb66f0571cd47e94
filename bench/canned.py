"""A worker that does nothing: `python -m bench.canned SOCKET REPORT REPLY` answers each call with two files' bytes.

One thread over epoll, no JSON: what remains is the cost of the parent. A ping is answered as a worker does.
"""

import select
import socket
import sys
from pathlib import Path

from wire import frames, messages, sockets
from wire.addresses import UnixAddress

PONG = frames.encode(b'{"type":"pong"}')


def serve(listener: socket.socket, answer: bytes) -> None:
    """Serve until the process is ended. `answer` is in frames."""
    peers: dict[int, tuple[socket.socket, frames.Decoder]] = {}
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                sock, _ = listener.accept()
                peers[sock.fileno()] = (sock, frames.Decoder())
                poll.register(sock.fileno(), select.EPOLLIN)
            elif not _answer(*peers[descriptor], answer):
                del peers[descriptor]


def _answer(sock: socket.socket, decoder: frames.Decoder, answer: bytes) -> bool:
    """Answer what has arrived on one connection; False when the peer has closed it."""
    data = sock.recv(sockets.RECEIVE_BYTES)
    if not data:
        sock.close()
        return False
    decoder.feed(data)
    while (payload := decoder.next()) is not None:
        sock.sendall(PONG if payload == messages.PING else answer)
    return True


def main(arguments: list[str]) -> int:
    """Listen and serve."""
    path, *files = arguments
    answer = b"".join(frames.encode(Path(file).read_bytes()) for file in files)
    serve(sockets.listen(UnixAddress(path=path)), answer)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
