"""The parent's answer -> its bytes, as they are on the wire.

The adapter asks for `identity`. A coding that comes all the same is refused before a byte is read, whatever the
installed urllib3 would do with it: a few bytes can decode to gigabytes, and nothing has been verified yet.
"""

from __future__ import annotations

from requests import Response
from requests.exceptions import ChunkedEncodingError, ContentDecodingError, SSLError
from requests.exceptions import ConnectionError as ConnectionFailed
from urllib3.exceptions import ProtocolError, ReadTimeoutError
from urllib3.exceptions import SSLError as TlsFailed

from tytle_verifier.errors import shown
from tytle_verifier.reply import MAX_REPLY_BYTES

_READ_BYTES = 64 * 1024


def read(answer: Response) -> bytes:
    """Return the body of `answer`, or as much of it as shows that it is too large. Nothing is decoded.

    Raises: ContentDecodingError for an answer under a Content-Encoding, ChunkedEncodingError, ConnectionError and
    SSLError as `requests` does where the connection fails.
    """
    coding = answer.headers.get("Content-Encoding", "identity")
    if coding.strip().lower() != "identity":
        raise ContentDecodingError(f"the parent's answer came encoded ({shown(coding)}); identity was asked for")
    try:
        return _bytes(answer)
    except ProtocolError as error:
        raise ChunkedEncodingError(error) from error
    except ReadTimeoutError as error:
        raise ConnectionFailed(error) from error
    except TlsFailed as error:
        raise SSLError(error) from error


def _bytes(answer: Response) -> bytes:
    data = bytearray()
    for chunk in answer.raw.stream(_READ_BYTES, decode_content=False):
        data += chunk
        if len(data) > MAX_REPLY_BYTES:
            break
    return bytes(data)
