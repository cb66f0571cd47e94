"""The folder that the parent's processes share, and the command that drains through it."""

import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import drain, state
from app.state import Held, StateFolder

NAMES = ["vies/16", "vies/20"]
HOLDER = """
import sys, time
from pathlib import Path
from app.state import StateFolder
ledger = StateFolder(Path(sys.argv[1])).open(["vies/16"])
slot = ledger.slots["vies/16"]
slot.cells[slot.calls] = 3
print("ready", flush=True)
time.sleep(60)
"""


def holder(folder: Path) -> "subprocess.Popen[str]":
    """Start a process that has three calls under way at vies/16, for as long as it lives."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def run(folder: Path, *arguments: str) -> int:
    return drain.main(arguments, {"STATE_DIR": str(folder)})


def test_what_a_process_has_under_way_is_read_by_others_as_it_changes(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    with closing(folder.open(NAMES)) as ledger:
        slot = ledger.slots["vies/20"]
        slot.cells[slot.calls] = 7
        slot.cells[slot.draining] = 1
        expected = [
            Held(name="vies/16", calls=0, draining=False),
            Held(name="vies/20", calls=7, draining=True),
        ]
        assert list(folder.held()) == [expected]
    assert list(folder.held()) == []


def test_a_process_that_was_killed_counts_no_more_and_its_file_goes(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    process = holder(tmp_path)
    try:
        assert [held.calls for (held,) in folder.held()] == [3]
    finally:
        end(process)
    assert len(list((tmp_path / "calls").iterdir())) == 1
    assert list(folder.held()) == []
    assert list((tmp_path / "calls").iterdir()) == []


def test_a_new_process_removes_what_dead_ones_have_left(tmp_path: Path) -> None:
    end(holder(tmp_path))
    with closing(StateFolder(tmp_path).open(NAMES)):
        assert len(list((tmp_path / "calls").iterdir())) == 1


def test_marks_are_the_names_of_drained_enclaves_and_other_files_are_none(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    assert folder.draining() == frozenset()
    folder.drain("vies", 16)
    folder.drain("stripe-payment", 4294967294)
    for name in (".hidden", "vies", "vies.", "VIES.16", "vies.16.tmp", "vies.x"):
        (tmp_path / "draining" / name).touch()
    assert folder.draining() == {"vies/16", "stripe-payment/4294967294"}
    folder.undo("vies", 16)
    folder.undo("vies", 16)
    assert folder.draining() == {"stripe-payment/4294967294"}


@given(st.binary(max_size=300))
def test_any_bytes_are_records_or_none(data: bytes) -> None:
    assert len(list(state._records(data))) == len(data) // state.RECORD.size


def test_the_layout_is_the_one_that_is_written_down(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path).open(["a" * 32 + "/4294967294"])) as ledger:
        (slot,) = ledger.slots.values()
        slot.cells[slot.calls] = 5
        slot.cells[slot.draining] = 1
        (path,) = (tmp_path / "calls").glob("*.calls")
        assert path.read_bytes() == (b"a" * 32 + b"/4294967294").ljust(48, b"\0") + struct.pack("=QQ", 5, 1)


# --- the command


def test_draining_waits_for_every_process_and_says_what_holds_it_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = holder(tmp_path)
    try:
        assert run(tmp_path, "vies", "16", "--wait", "0.3") == 1
    finally:
        end(process)
    assert "not idle after 0.3 s: 3 calls under way" in capsys.readouterr().out
    assert StateFolder(tmp_path).draining() == {"vies/16"}


def test_draining_waits_for_a_process_that_has_not_seen_the_mark_or_has_calls_under_way(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path).open(NAMES)) as ledger:
        assert run(tmp_path, "vies", "16", "--wait", "0.3") == 1
        slot = ledger.slots["vies/16"]
        slot.cells[slot.draining], slot.cells[slot.calls] = 1, 2
        assert run(tmp_path, "vies", "16", "--wait", "0.3") == 1
        slot.cells[slot.calls] = 0
        assert run(tmp_path, "vies", "16", "--wait", "0.3") == 0
        assert run(tmp_path, "vies", "20", "--wait", "0.3") == 1  # the mark of one is none of another


def test_draining_without_waiting_leaves_a_mark_and_undoing_takes_it_away(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path).open(NAMES)):
        assert run(tmp_path, "vies", "16") == 0
        assert StateFolder(tmp_path).draining() == {"vies/16"}
        assert run(tmp_path, "vies", "16", "--undo") == 0
        assert StateFolder(tmp_path).draining() == frozenset()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "app.drain: no process of the parent uses this STATE_DIR"),
        (["vies/20", "sicae/17"], "app.drain: there is no vies/16 here, but sicae/17, vies/20"),
    ],
)
def test_an_enclave_that_no_process_has_is_not_drained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names: list[str], said: str
) -> None:
    folder = StateFolder(tmp_path)
    if names:
        with closing(folder.open(names)):
            assert run(tmp_path, "vies", "16") == 2
    else:
        assert run(tmp_path, "vies", "16") == 2
    assert said in capsys.readouterr().err
    assert folder.draining() == frozenset()


def test_a_parent_without_a_state_folder_cannot_be_drained(capsys: pytest.CaptureFixture[str]) -> None:
    assert drain.main(["vies", "16"], {}) == 2
    assert "set STATE_DIR to the absolute path that the parent has" in capsys.readouterr().err


def test_a_folder_that_may_not_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert run(tmp_path / "file", "vies", "16") == 2
    assert "app.drain: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["../vies", "16"],
        ["vies/16", "16"],
        ["", "16"],
        ["vies", "-1"],
        ["vies", "sixteen"],
        ["vies"],
        ["vies", "16", "--wait", "nan"],
        ["vies", "16", "--wait", "-1"],
    ],
)
def test_a_wrong_word_in_the_command_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, *arguments)
    assert caught.value.code == 2
    assert list(tmp_path.iterdir()) == []
