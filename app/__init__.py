"""The parent: a courier between callers and enclaves, trusted by nobody.

Rule of this room: it routes, bounds and relays. It opens no statement, signs nothing, and re-encodes no reply. Sockets
are reached through `wire/` only. The API is described in ARCHITECTURE.md, "Parent HTTP API".
"""

from app.factory import create_app

__all__ = ["create_app"]
