"""The documents are run, not only read: README's example, its commands, and ARCHITECTURE's table of differences."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from devstack.stack import Stack

ROOT = Path(__file__).parent.parent


def fenced(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def examples() -> list[str]:
    """README's Python that runs as it stands; what begins with a file's name is for test_guide."""
    return [block for block in fenced("README.md", "python") if not block.startswith("# ")]


def output_of(example: str) -> str:
    printed = io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(printed):
        exec(example, {})  # noqa: S102  README's own text
    return printed.getvalue()


def test_the_fetch_in_readme_works(running_stack: Stack) -> None:
    fetch, _ = examples()
    printed = output_of(fetch.replace("http://127.0.0.1:5001", running_stack.url))
    assert printed.startswith("True 200 {")
    assert re.search(r'"valid"\s*:\s*true', printed)


def test_the_mocked_parent_in_readme_works() -> None:
    _, mocked = examples()
    assert output_of(mocked) == "ΦΑΝΤΑΣΤΙΚΗ vies\n"


def test_every_command_in_readme_is_a_target_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z0-9]+)", "\n".join(fenced("README.md", "sh")), re.MULTILINE))
    assert named
    assert named <= targets


def test_every_deviation_that_a_test_names_is_a_row_of_the_architecture() -> None:
    rows = set(re.findall(r"^\| ([A-Z]\d+) \|", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.MULTILINE))
    named = set()
    for path in (ROOT / "tests").glob("test_*.py"):
        named |= set(re.findall(r'": "([PEHU]\d+)"', path.read_text(encoding="utf-8")))
    assert {"E1", "H1", "P1"} <= named
    assert named <= rows


@pytest.mark.parametrize("link", re.findall(r"\]\(([A-Za-z._/]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text()))
def test_every_link_in_readme_leads_to_a_file(link: str) -> None:
    assert (ROOT / link).exists()
