"""What can be wrong with an image or with what one is made from. The message says what was found where."""


class EifError(Exception):
    """Root of this room's errors. `advice` says what to do."""

    advice = "Look at the message."


class MalformedEif(EifError):
    """The bytes are no EIF of the one form this project builds and accepts; nothing of it was measured."""

    advice = "Get the file again, or build it again with `make image`; do not run it."


class BadInput(EifError):
    """An image cannot be made from this."""

    advice = "Correct the named input and build again."
