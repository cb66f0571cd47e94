"""The whole system on one machine: a soft NSM with real keys, upstream stand-ins, a blind relay.

Rule of this room: it composes the real code through Python arguments, the same ones that production fills; no switch,
variable or import inside the other rooms knows about it. It never goes into an image.
"""
