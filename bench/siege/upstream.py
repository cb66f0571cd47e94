"""An upstream that takes its time, as real ones do: `python -m bench.siege.upstream ROOTS HOST PORT SECONDS`.

It writes the root of its certificate to the file ROOTS.
"""

import signal
import sys
import time
from pathlib import Path

from devstack.tls_pki import Authority
from devstack.upstream import Request, Response, UpstreamServer

ANSWER = Response(status=200, headers=(("Content-Type", "application/json"),), body=b"{}")


def main(arguments: list[str]) -> int:
    """Serve until the process is ended."""
    roots, host, port, seconds = arguments
    authority = Authority()
    Path(roots).write_text(authority.roots_pem, encoding="ascii")

    def answer(_: Request) -> Response:
        time.sleep(float(seconds))
        return ANSWER

    with UpstreamServer({host: answer}, authority=authority, port=int(port)):
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
