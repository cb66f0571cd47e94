"""The fuzz targets without a fuzzer: their seeds and kept corpora hold, and planted faults break an invariant of each.

What once broke an invariant is kept as tests/fuzz/corpus/TARGET/found-*. `make fuzz` looks for more.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.fuzz import targets
from tests.fuzz.draws import Draws
from tests.fuzz.faults import FAULTS, Fault
from tests.fuzz.targets import TARGETS

CORPUS = Path(targets.__file__).parent / "corpus"
MAX_FILES, MAX_BYTES = 600, 2_000_000
NAMES = sorted(TARGETS)


def inputs(name: str) -> Iterator[tuple[str, bytes]]:
    yield from TARGETS[name].seeds()
    for path in sorted((CORPUS / name).iterdir()):
        yield path.name, path.read_bytes()


def broken_by(name: str, given: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    for label, data in given:
        try:
            TARGETS[name].one_input(data)
        except Exception as error:  # noqa: BLE001  all of them are wanted, with their names
            yield f"{label}: {error!r}"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # of cryptography's: the certificates are garbage
@pytest.mark.parametrize("name", NAMES)
def test_every_kept_input_holds(name: str) -> None:
    assert list(broken_by(name, inputs(name))) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_shortest_inputs_hold(name: str) -> None:
    for data in (b"", *(bytes([each]) for each in range(256))):
        TARGETS[name].one_input(data)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.target}-{fault.name.replace(' ', '-')}")
def test_a_defence_that_is_taken_away_is_noticed(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    given = list(inputs(fault.target))
    fault.plant(monkeypatch.setattr)
    assert next(broken_by(fault.target, given), None) is not None


def test_every_target_notices_a_defence_that_is_gone() -> None:
    assert {fault.target for fault in FAULTS} == TARGETS.keys()


def test_the_corpora_are_of_targets_that_there_are_and_small() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.name for path in CORPUS.iterdir()} == TARGETS.keys()
    assert len(files) <= MAX_FILES
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


def test_decisions_are_taken_front_to_back_and_end_in_the_first_choice() -> None:
    draws = Draws(b"\x05\x01\x03abcdef")
    assert (draws.byte(), draws.flag(), draws.blob()) == (5, True, b"abc")
    assert (draws.take(2), draws.rest()) == (b"de", b"f")
    assert (draws.below(7), draws.choice("xyz"), draws.blob(), draws.edits(b"same")) == (0, "x", b"", b"same")
