"""Where the corpora lie that are not part of this repository. CI must have them; elsewhere their tests skip, loudly."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).parent.parent.parent / "shared"


def corpus(variable: str, *parts: str) -> Path:
    """Return the folder that `$variable` names, or ../shared/PARTS. Fails under CI, skips elsewhere, when absent."""
    folder = Path(os.environ.get(variable) or SHARED.joinpath(*parts))
    if folder.is_dir():
        return folder
    message = f"{'/'.join(parts)} is not here: set ${variable} to its folder"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message, allow_module_level=True)


def predecessor_vectors(name: str) -> list[dict[str, Any]]:
    """Return one file of the predecessor's executed vectors: {name, input, expected} each."""
    path = corpus("PREDECESSOR_VECTORS", "predecessor", "vectors") / f"{name}.json"
    vectors: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return vectors
