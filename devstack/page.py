"""`make page`: takes the verifier's versioned schemas and the parameters that it knows into its web page, and names the
script's new hash in its policy.

The page is one file that is opened as it is, so what it shares with the package is written into it, not loaded.
"""

import base64
import hashlib
import json
import re
import sys
from pathlib import Path

from tytle_verifier.parameters import OPERATIONS
from tytle_verifier.schemas import SCHEMAS, Schema

PAGE = Path(__file__).parent.parent / "tytle_verifier" / "web" / "index.html"
_SCRIPT = re.compile(r'<script type="module">(.*?)</script>', re.DOTALL)
_HASH = re.compile(r"(?<=script-src 'sha256-)[^']*")


def with_tables(page: str) -> str:
    """Return the page with these schemas, the parameters of the operations, and a policy that allows its script."""
    page = _filled(page, "VERSIONED", [_row(schema) for schema in SCHEMAS.values() if schema.versioned])
    page = _filled(page, "PARAMETERS", [f"  {json.dumps(n)}: {json.dumps(dict(t))},\n" for n, t in OPERATIONS.items()])
    (script,) = _SCRIPT.findall(page)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _HASH.sub(lambda _: digest, page)


def _filled(page: str, name: str, rows: list[str]) -> str:
    """Return the page with these rows in its table `name`."""
    table = re.compile(rf"(?<=\nconst {name} = \{{)([^\n]*\n)(?:  [^\n]*\n)*(?=\}};\n)")
    return table.sub(lambda match: match[1] + "".join(rows), page)


def _row(schema: Schema) -> str:
    listed = ", ".join(schema.definition.splitlines()[1:])
    return f"  {json.dumps(schema.id)}: {json.dumps(listed)},\n"


def main() -> int:
    """Rewrite the page in place."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
