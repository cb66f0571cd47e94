"""What can go wrong between parent and worker: one tree, so that an edge catches `WireError` and knows it all."""


class WireError(Exception):
    """Root of this room's errors. `advice` says what a person can do about it."""

    advice = "Look at the other end of the connection."


class AddressError(WireError):
    """A text is not one of the three address forms."""

    advice = "Write vsock://CID:PORT, unix:/absolute/path or tcp://127.0.0.1:PORT."


class FrameError(WireError):
    """Bytes are not a frame. The connection cannot be used any further."""

    advice = "The peer does not speak this protocol, or died in the middle of a frame."


class EmptyFrame(FrameError):
    """A frame announces zero bytes."""


class FrameTooLarge(FrameError):
    """A frame announces more than `frames.MAX_FRAME_BYTES`."""


class TruncatedFrame(FrameError):
    """The peer closed the connection in the middle of a frame."""


class ReportMalformed(FrameError):
    """A frame begins as a worker's report, and is none."""


class MessageError(WireError):
    """A frame's payload is not a message. `field` names the culprit, or is empty when no field is to blame."""

    advice = "Correct the named field and send the request again."

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field


class DeadlinePassed(WireError):
    """The time given for a connect, a send or a receive is over."""

    advice = "The peer is alive but slow; give more time or look at its load."


class PeerLost(WireError):
    """The connection could not be made, or broke.

    `delivered` is False only when the last byte of what was to be sent never reached the kernel: a frame cut
    short is never acted upon, so the sender may send it again elsewhere. In every other case it is True.
    """

    advice = "The peer is down or restarting."

    def __init__(self, problem: str, *, delivered: bool) -> None:
        super().__init__(problem)
        self.delivered = delivered
