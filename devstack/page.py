"""`make page`: takes the verifier's versioned schemas into its web page, and names the script's new hash in its policy.

The page is one file that is opened as it is, so what it shares with the package is written into it, not loaded.
"""

import base64
import hashlib
import json
import re
import sys
from pathlib import Path

from tytle_verifier.schemas import SCHEMAS, Schema

PAGE = Path(__file__).parent.parent / "tytle_verifier" / "web" / "index.html"
_TABLE = re.compile(r"(?<=\nconst VERSIONED = \{)([^\n]*\n)(?:  [^\n]*\n)*(?=\};\n)")
_SCRIPT = re.compile(r'<script type="module">(.*?)</script>', re.DOTALL)
_HASH = re.compile(r"(?<=script-src 'sha256-)[^']*")


def with_schemas(page: str) -> str:
    """Return the page with the schemas of `tytle_verifier.schemas` and a policy that allows its script."""
    rows = "".join(_row(schema) for schema in SCHEMAS.values() if schema.versioned)
    page = _TABLE.sub(lambda match: match[1] + rows, page)
    (script,) = _SCRIPT.findall(page)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _HASH.sub(lambda _: digest, page)


def _row(schema: Schema) -> str:
    listed = ", ".join(schema.definition.splitlines()[1:])
    return f"  {json.dumps(schema.id)}: {json.dumps(listed)},\n"


def main() -> int:
    """Rewrite the page in place."""
    PAGE.write_text(with_schemas(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
