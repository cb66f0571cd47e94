"""README's "Add a service" is followed to the letter, in a copy of this checkout, and what it says must be so there."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_documents import ROOT, fenced

ROOMS = ("app", "devstack", "enclave_worker", "nsm", "policy", "services", "tests", "tytle_verifier", "wire")
FILES = ("ARCHITECTURE.md", "Dockerfile", "Dockerfile.enclave", "Makefile", "README.md", "pyproject.toml", "setup.cfg")
MORE_ROOMS = ("bench", "deploy", "eif")  # looked at by tests of the whole


def block(name: str) -> str:
    (found,) = (text for language in ("toml", "python") for text in fenced("README.md", language) if heads(text, name))
    return found.partition("\n")[2]


def heads(text: str, name: str) -> bool:
    return text.startswith(f"# {name}")


def insert(path: Path, before: str, lines: str) -> None:
    """Put `lines` in front of the first `before` in a file."""
    text = path.read_text(encoding="utf-8")
    assert text.count(before) >= 1
    path.write_text(text.replace(before, lines + before, 1), encoding="utf-8")


def register(folder: Path) -> None:
    """Do what the sentence about the table of handlers says."""
    (line,) = re.findall(r"one line in its table: `([^`]*)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    path = folder / "enclave_worker" / "handlers" / "__init__.py"
    insert(path, "from enclave_worker.handlers.operation", "from enclave_worker.handlers import rates\n")
    text = path.read_text(encoding="utf-8")
    begun = re.sub(r"(?<=\nHANDLERS: dict\[str, tuple\[Operation, \.\.\.\]\] = \{)(\n?)", rf"\n    {line}\n", text)
    path.write_text(begun, encoding="utf-8")


def add_schema(folder: Path) -> None:
    path = folder / "tytle_verifier" / "schemas.py"
    text = path.read_text(encoding="utf-8")
    start = "_VERSIONED: Final[Mapping[str, tuple[str, ...]]] = {"
    assert start in text
    path.write_text(
        text.replace(start, f"{start}\n{block('tytle_verifier/schemas.py, in _VERSIONED')}"), encoding="utf-8"
    )


def add_parameters(folder: Path) -> None:
    row = block("tytle_verifier/parameters.py, in OPERATIONS")
    insert(folder / "tytle_verifier" / "parameters.py", '        "vies.check_vat": ', row)


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("checkout")
    for room in (*ROOMS, *MORE_ROOMS):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, folder)
    for name in ("services/rates.toml", "enclave_worker/handlers/rates.py", "tests/test_rates.py"):
        (folder / name).write_text(block(name), encoding="utf-8")
    register(folder)
    yield folder
    shutil.rmtree(folder)


def test_the_guides_test_passes_in_a_checkout_with_the_guides_files(copy: Path) -> None:
    assert "passed" in run(copy, "-m", "pytest", "tests/test_rates.py")


def test_the_guides_code_keeps_the_projects_rules(copy: Path) -> None:
    files = ("enclave_worker/handlers/rates.py", "tests/test_rates.py", "enclave_worker/handlers/__init__.py")
    run(copy, "-m", "ruff", "check", *files[:2])
    run(copy, "-m", "ruff", "format", "--check", *files[:2])
    run(copy, "-m", "mypy", "enclave_worker/handlers")
    run(copy, "-m", "pytest", "tests/test_architecture.py")


def test_the_verifier_is_told_as_the_guide_says(copy: Path) -> None:
    add_schema(copy)
    add_parameters(copy)
    run(copy, "-m", "devstack.page")
    run(copy, "-m", "pytest", "tests/test_devstack_page.py", "-k", "leaves")
    run(copy, "-m", "pytest", "tests/test_query_verified.py", "-k", "every_service_schema or knows_every_parameter")
    run(copy, "-m", "pytest", "tests/test_verifier_query.py", "-k", "the_page_knows")
    run(copy, "-m", "pytest", "tests/test_rates.py", "-k", "whole_stack")
