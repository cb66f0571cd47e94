"""What is written when something goes wrong that nobody caught: kinds and places, in the form of every other line.

As shipped, Python prints an exception with its message, and a warning or a library's log record with its text. Any of
them may hold what a caller, an enclave or a collector said. Rule: from a text that is not ours nothing is written.
"""

import logging
import sys
import threading
import traceback
from types import TracebackType
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from app.config import ConfigError
from app.log import Log, place
from policy.errors import ManifestError

OUR_WORDS = (ConfigError, ManifestError)  # they name a setting or a line of a manifest, for who starts the parent
MAX_FRAMES = 32


def install(log: Log) -> None:
    """Let this process, and those that it forks, speak through `log` where Python itself would print."""

    def unhandled(kind: type[BaseException], _: BaseException | None, trace: TracebackType | None) -> None:
        log.event("unhandled error", error=kind.__name__, where=place(trace))

    sys.excepthook = unhandled
    threading.excepthook = lambda args: unhandled(args.exc_type, None, args.exc_traceback)
    sys.unraisablehook = lambda args: unhandled(args.exc_type, None, args.exc_traceback)
    logging.captureWarnings(True)
    logging.getLogger().handlers = [_Library(log)]


class _Library(logging.Handler):
    """Says that a library had something to say."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.event("library warning", where=record.name, level=record.levelname.lower())


class ServerLogger(Logger):  # type: ignore[misc]
    """gunicorn's own log. An exception is shown by its kind and the frames that it passed, not by its message."""

    def setup(self, cfg: Any) -> None:
        """As gunicorn's, at the start and at every reload."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(_Frames(self.error_fmt, self.datefmt))


class _Frames(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's name
        kind, error, trace = ei
        frames = traceback.extract_tb(trace, limit=-MAX_FRAMES)
        lines = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
        said = f"{kind.__name__}: {error}" if isinstance(error, OUR_WORDS) else kind.__name__
        return "\n".join([*lines, said])
