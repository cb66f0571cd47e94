"""`python -m tytle_verifier`: the same as `tytle-verify`."""

import sys

from tytle_verifier.cli import main

if __name__ == "__main__":
    sys.exit(main())
