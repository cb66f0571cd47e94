"""The fault matrix as data: its words are known, each fault has its way, and SECURITY.md shows it as it is.

That what it promises is so, `make faults` shows.
"""

import ast
from pathlib import Path

import pytest

from tests.faults import matrix, play, table
from tests.faults.matrix import MOMENTS, OTHERS, OUTCOMES, Row
from tests.faults.registry import INJECTORS

ROWS = matrix.load()
TESTS = Path(__file__).parent
LEAST_ROWS = 60


def test_every_fault_of_a_row_has_a_way_to_it_and_every_way_a_row() -> None:
    assert play.WAYS_TO_BREAK
    assert {(row.component, row.fault) for row in ROWS} == INJECTORS.keys()


def test_no_two_rows_say_the_same() -> None:
    assert len({row.id for row in ROWS}) == len({(row.component, row.fault, row.moment) for row in ROWS}) == len(ROWS)
    assert len(ROWS) >= LEAST_ROWS


def test_every_word_is_used() -> None:
    assert {row.moment for row in ROWS} == MOMENTS.keys()
    assert {row.caller for row in ROWS} == OUTCOMES.keys()
    assert {row.others for row in ROWS} == OTHERS.keys()


def test_every_test_on_two_machines_that_a_row_names_exists() -> None:
    named = [name.split("::") for row in ROWS for name in row.shown_by]
    assert named
    assert [name for file, name in named if name not in functions(TESTS / file)] == []


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_security_page_shows_the_matrix_as_it_is() -> None:
    document = table.DOCUMENT.read_text(encoding="utf-8")
    assert table.written(document, ROWS) == document, "run python -m tests.faults"
    assert table.written(document, ROWS[1:]) != document


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="mark"):
        table.written("# Security\n", ROWS)


GOOD = {
    "id": "x",
    "component": "enclave",
    "fault": "killed",
    "moment": "at start",
    "caller": "verified",
    "others": "served",
    "next": "at once",
}


@pytest.mark.parametrize("name", ["moment", "caller", "others", "next"])
def test_a_word_that_is_in_no_list_is_refused(name: str) -> None:
    assert Row(**GOOD)
    with pytest.raises(ValueError, match="not a word"):
        Row(**{**GOOD, name: "perhaps"})


@pytest.mark.parametrize(
    "change",
    ["id = 1", 'extra = "x"', 'shown_by = "x"', 'fault = "y"\n[[rows]]\nid = "x"'],
)
def test_a_row_with_other_fields_is_refused(tmp_path: Path, change: str) -> None:
    lines = [f'{name} = "{value}"' for name, value in GOOD.items() if not change.startswith(f"{name} ")]
    path = tmp_path / "matrix.toml"
    path.write_text("\n".join(["[[rows]]", *lines]))
    path.write_text("\n".join(["[[rows]]", *lines, change]))
    with pytest.raises(ValueError, match=r"row ('x'|1)"):
        matrix.load(path)


def test_an_id_that_two_rows_have_is_refused(tmp_path: Path) -> None:
    lines = "\n".join(["[[rows]]", *(f'{name} = "{value}"' for name, value in GOOD.items())])
    path = tmp_path / "matrix.toml"
    path.write_text(f"{lines}\n")
    assert len(matrix.load(path)) == 1
    path.write_text(f"{lines}\n{lines}\n")
    with pytest.raises(ValueError, match="one id"):
        matrix.load(path)
