"""The documents are run, not only read: README's example, its commands, ARCHITECTURE's table of differences, and the
tests that SECURITY.md calls as its witnesses."""

import ast
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
    fetch, _, _ = examples()
    printed = output_of(fetch.replace("http://127.0.0.1:5001", running_stack.url))
    assert printed.startswith("True 200 {")
    assert re.search(r'"valid"\s*:\s*true', printed)


def test_the_query_in_readme_works(running_stack: Stack) -> None:
    _, query, _ = examples()
    printed = output_of(query.replace("http://127.0.0.1:5001", running_stack.url))
    assert printed.startswith("True TYTLE LDA D95w")  # the first element is the digest of the schema


def test_the_mocked_parent_in_readme_works() -> None:
    _, _, mocked = examples()
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
        named |= set(re.findall(r'(?:: |\()"([PEHUQVSTM]\d+)"', path.read_text(encoding="utf-8")))
    assert {"E1", "H1", "P1", "Q1", "V1", "S1", "T1", "M1"} <= named
    assert named <= rows


def links(*documents: str) -> list[tuple[str, str]]:
    """Return every link of these documents that leads to a file: document and target."""
    texts = {document: (ROOT / document).read_text(encoding="utf-8") for document in documents}
    found = {name: re.findall(r"\]\(([A-Za-z._/]*(?:#[^)]*)?)\)", text) for name, text in texts.items()}
    return [(document, link) for document in documents for link in found[document]]


@pytest.mark.parametrize(
    ("document", "link"), links("README.md", "SECURITY.md", "ARCHITECTURE.md", "DERIVATIONS.md", "VERIFICATION.md")
)
def test_every_link_leads_to_a_file_and_a_heading(document: str, link: str) -> None:
    file, _, heading = link.partition("#")
    target = ROOT / (file or document)
    assert target.exists()
    if heading:
        assert heading in headings(target)


def headings(path: Path) -> set[str]:
    """Return the anchors of a Markdown file, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_test_that_the_security_page_names_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`", text)
    assert len(named) >= 60
    assert len(named) == text.count("::") == len(re.findall(r"test_\w+\.py", text))  # none in another spelling
    missing = {f"{file}::{name}" for file, name in named if name not in functions(ROOT / "tests" / file)}
    assert missing == set()


def functions(path: Path) -> set[str]:
    """Return the names of the functions of a module; none where there is no such module."""
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
