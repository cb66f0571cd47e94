"""What can keep a deployment from being rendered or published. The message says what was found and expected."""


class DeployError(Exception):
    """Root of this room's errors. `advice` says what to do."""

    advice = "Look at the message."


class BadPlan(DeployError):
    """The services, CIDs or images that were asked for do not make a deployment."""

    advice = "Correct the argument and render again. `make image SERVICE=NAME` makes an image."


class BadMeasurements(DeployError):
    """A measurements file is not one that `make image` writes."""

    advice = "Make the image again: `make image SERVICE=NAME`."


class NotPublishable(DeployError):
    """These measurements must not be published: nobody could check where they come from, or they contradict others."""

    advice = "Build from a clean commit on a pinned base (images.lock), and publish that."
