"""The room's rule, read from its source: what it imports, and that only its edges touch the world."""

import ast
from pathlib import Path

import pytest

import tytle_verifier

FOLDER = Path(tytle_verifier.__file__).parent
FOUND = [path for glob in ("*.py", "sealed/*.py", "derive/*.py") for path in sorted(FOLDER.glob(glob))]
FILES = {path.relative_to(FOLDER).with_suffix("").as_posix(): ast.parse(path.read_text()) for path in FOUND}
EDGES = {"cli", "clock", "log_command", "many", "__main__"}
ALLOWED = {
    *("__future__", "argparse", "base64", "cbor2", "collections", "contextlib", "cryptography", "dataclasses"),
    *(
        "datetime",
        "enum",
        "functools",
        "hashlib",
        "html",
        "importlib",
        "itertools",
        "json",
        "math",
        "re",
        "struct",
        "threading",
    ),
    *("tomllib", "types", "typing", "tytle_verifier", "xml"),
}
EDGE_ONLY = {"argparse", "concurrent", "os", "pathlib", "sys"}
WORLDLY = {"environ", "getenv", "now", "utcnow", "today", "open", "read_text", "write_text", "urandom", "stdin"}


def imported(tree: ast.Module) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("name", FILES)
def test_a_module_imports_only_what_the_room_allows(name: str) -> None:
    allowed = ALLOWED | EDGE_ONLY if name in EDGES else ALLOWED - EDGE_ONLY
    assert imported(FILES[name]) - allowed == set()


@pytest.mark.parametrize("name", [name for name in FILES if name not in EDGES])
def test_nothing_below_the_edges_reads_a_clock_a_file_or_the_environment(name: str) -> None:
    nodes = [*ast.walk(FILES[name])]
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert (used | called) & (WORLDLY - ({"now"} if name == "when" else set())) == set()


def test_the_clock_of_live_time_is_a_field_that_the_caller_gave() -> None:
    calls = [node.func for node in ast.walk(FILES["when"]) if isinstance(node, ast.Call)]
    assert [call for call in calls if isinstance(call, ast.Attribute) and call.attr == "now"] == []


@pytest.mark.parametrize("name", FILES)
def test_nothing_asserts_and_nothing_but_one_edge_catches_everything(name: str) -> None:
    assert [node.lineno for node in ast.walk(FILES[name]) if isinstance(node, ast.Assert)] == []
    handlers = [node for node in ast.walk(FILES[name]) if isinstance(node, ast.ExceptHandler)]
    everything = [h for h in handlers if h.type is None or ast.unparse(h.type) in ("Exception", "BaseException")]
    assert len(everything) == (1 if name == "many" else 0)  # the edge where one file of an archive must not hide others


def test_no_module_is_imported_in_a_circle() -> None:
    arrows = {
        name: {
            part
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tytle_verifier")
            for part in (
                [(node.module or "").partition(".")[2].replace(".", "/")]
                if "." in (node.module or "")
                else [a.name for a in node.names]
            )
        }
        for name, tree in FILES.items()
    }
    while arrows:
        leaves = {name for name, targets in arrows.items() if not targets & arrows.keys()}
        assert leaves, f"a circle among {sorted(arrows)}"
        arrows = {name: targets for name, targets in arrows.items() if name not in leaves}


def test_the_root_and_the_type_marker_are_package_data() -> None:
    assert [name for name in ("aws_nitro_root_g1.pem", "py.typed") if not FOLDER.joinpath(name).is_file()] == []


def test_everything_public_is_exported_by_name_and_documented() -> None:
    unions = {"Root", "Time"}  # explained beside their members
    exported = {name: getattr(tytle_verifier, name) for name in tytle_verifier.__all__ if name not in unions}
    assert [name for name, value in exported.items() if not value.__doc__] == []
