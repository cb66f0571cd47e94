"""`make openapi`: writes app/openapi.json."""

import sys

from app.description import FILE
from devstack.openapi import described, layout


def text() -> str:
    """Return what the file has to hold."""
    return layout.text(described.API)


def main() -> int:
    """Write the file."""
    FILE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
