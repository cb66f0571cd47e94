"""A secret in every input, and a search of all that comes out: each shows where its row says, and nowhere else."""

from __future__ import annotations

import string
import threading
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from tests.planted.inputs import INPUTS, Input
from tests.planted.world import World
from tests.recording.search import sightings

ERRORS = {400, 401, 403, 404, 405, 408, 413, 414, 415, 417, 429, 431, 500, 501, 502, 503, 504}  # ARCHITECTURE, "Errors"
SILENT = "request: silence"  # takes ten seconds, while the others are asked
LONG = 24  # halves of shorter ones might be there by chance
CERTIFICATE = "upstream: certificate"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was answered to each input, and where each secret, and each of the settings, was seen."""

    answers: dict[str, bytes]
    records: dict[str, int]
    seen: dict[str, dict[str, str]]


def halves(secret: str) -> set[str]:
    """Return what is looked for of it: what was cut short is found, too."""
    half = len(secret) // 2 if len(secret) >= LONG else len(secret)
    return {secret[:half], secret[-half:]}


def search(world: World, planted: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return for each secret in which outlets it was seen, and how it was spelt there.

    All spellings of `forms` are looked for, the text in any case, and the bytes that hexadecimal text stands for.
    """
    pieces = {f"{name}\t{text}": text for name, secret in planted.items() for text in halves(secret)}
    spelt: dict[str, str | bytes] = {**pieces}
    spelt |= {f"{key}\t": bytes.fromhex(text) for key, text in pieces.items() if set(text) <= set(string.hexdigits)}
    records = world.records()
    found = [(each.record, each.secret, each.form) for each in sightings(spelt, records)]
    for record, path in records.items():
        data = path.read_bytes().lower()
        found += [(record, key, "any case") for key, text in pieces.items() if text.lower().encode() in data]
    seen: dict[str, dict[str, str]] = {name: {} for name in planted}
    for record, key, form in found:
        name = key.partition("\t")[0]
        own = record == f"answers/answers/{file_name(name)}"
        seen[name]["answer" if own else record.partition("/")[0]] = f"{form} in {record}"
    return seen


def file_name(name: str) -> str:
    return name.replace("/", "_")


def ask_all(world: World, inputs: Iterable[Input], planted: dict[str, str]) -> dict[str, bytes]:
    """Plant every secret, one after another; the silent one meanwhile."""
    answers: dict[str, bytes] = {}

    def plant(one: Input) -> None:
        answers[one.name] = one.plant(world, planted[one.name])

    silent = [threading.Thread(target=plant, args=(one,)) for one in inputs if one.name == SILENT]
    for thread in silent:
        thread.start()
    for one in inputs:
        if one.name != SILENT:
            plant(one)
    for thread in silent:
        thread.join()
    for name, answer in answers.items():
        (world.folder / "answers" / file_name(name)).write_bytes(answer)
    return answers


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with World(tmp_path_factory.mktemp("world")) as world:
        planted = {one.name: one.make() for one in INPUTS} | {CERTIFICATE: world.certificate}
        answers = ask_all(world, INPUTS, planted)
        world.rest()
        world.look()
        settings = {f"setting: {name}": secret for name, secret in world.settings.items()}
        seen = search(world, planted | settings)
        records: dict[str, int] = {}
        for name, path in world.records().items():
            kind = name.partition("/")[0]
            records[kind] = records.get(kind, 0) + path.stat().st_size
    return Run(answers=answers, records=records, seen=seen)


@pytest.mark.parametrize("one", INPUTS, ids=lambda one: one.name)
def test_a_secret_shows_where_its_row_says_and_nowhere_else(run: Run, one: Input) -> None:
    assert run.seen[one.name].keys() == one.may, run.seen[one.name]


@pytest.mark.parametrize("one", INPUTS, ids=lambda one: one.name)
def test_each_secret_went_as_far_as_it_was_meant_to(run: Run, one: Input) -> None:
    answer = run.answers[one.name]
    assert (answer[9:12], one.code.encode() in answer) == (b"%d" % one.status, True), answer[:2000]


def test_no_setting_shows(run: Run) -> None:
    shown = {name: seen for name, seen in run.seen.items() if name.startswith("setting: ") and seen}
    assert shown == {}


def test_every_error_of_the_interface_was_provoked() -> None:
    assert {one.status for one in INPUTS} >= ERRORS


def test_every_outlet_was_there_to_be_searched(run: Run) -> None:
    assert {kind for kind, size in run.records.items() if size} == {
        "parent's log", "worker's log", "nitro-cli", "pages", "spans", "numbers", "temporary files",
        "state", "archive", "command lines",
        "answers",
    }  # fmt: skip
