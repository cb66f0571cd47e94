"""The command that makes entries of the file of callers, and says whether the file can be used."""

import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from app import tokens
from app.callers.registry import load
from tests.gate_kit import KNOWN, TOKEN, token_toml
from tests.parent import CHECKOUT
from tests.test_callers_proof import DER, PEM


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = tokens.main(arguments)
    return (status, *capsys.readouterr())


def test_a_new_token_is_printed_once_and_its_entry_lets_it_in(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(
        *(capsys, "new", "agent-a", "--services", "vies, sicae", "--scopes", "fetch,metrics"),
        *("--rate", "2.5", "--burst", "9", "--concurrent", "4", "--expires", "2999-01-31"),
    )
    (token,) = re.findall(r"^tytle_[A-Za-z0-9_-]{43}$", out, re.MULTILINE)
    block = out[out.index("[[tokens]]") :]
    assert (status, out.count(token), token in block) == (0, 1, False)
    caller = load(block.encode(), services=KNOWN).of_token(token)
    assert caller is not None
    assert (caller.name, caller.services, caller.scopes) == ("agent-a", {"vies", "sicae"}, {"fetch", "metrics"})
    assert (caller.limits.rate, caller.limits.burst, caller.limits.concurrent) == (2.5, 9, 4)
    assert caller.expires is not None


def test_two_tokens_are_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "new", "a")[1] != run(capsys, "new", "a")[1]


@pytest.mark.parametrize(
    "wrong",
    [
        ["new", "A B"],
        ["new", "a", "--services", "viez"],
        ["new", "a", "--rate", "fast"],
        ["new", "a", "--rate", '1\nscopes = ["metrics"]'],
        ["new", "a", "--burst", "3"],
        ["new", "a", "--expires", "tomorrow"],
        ["new", 'a"\nscopes = ["metrics"]\n#'],
        ["client", "a", "/none"],
        ["check", "/none"],
    ],
)
def test_what_could_not_be_used_is_not_printed(capsys: pytest.CaptureFixture[str], wrong: list[str]) -> None:
    status, out, err = run(capsys, *wrong)
    assert (status, out) == (1, "")
    assert err.startswith("NO  ")


def test_an_entry_for_a_certificate_holds_its_digest(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "client.pem").write_text(PEM)
    status, out, _ = run(capsys, "client", "agent-c", str(tmp_path / "client.pem"))
    assert status == 0
    assert list(load(out.encode(), services=KNOWN).certificates) == [sha256(DER).digest()]


def test_check_says_who_may_do_what(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(
        token_toml("a", TOKEN, 'services = ["vies"]', "rate = 2", "burst = 9")
        + f'[[clients]]\nname = "c"\nsha256 = "{"0" * 64}"\nconcurrent = 3\n'
    )
    status, out, _ = run(capsys, "check", str(file))
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert status == 0
    assert lines == [
        "ok a token vies; fetch; 2/s, 9 at once; 48 under way",
        "ok c certificate all services; fetch; any rate; 3 under way",
    ]


def test_check_says_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text(token_toml("a") + token_toml("a", "other"))
    status, out, err = run(capsys, "check", str(tmp_path / "tokens.toml"))
    assert (status, out, err) == (1, "", "NO  tokens[1].name: another entry has the same one\n")


def test_the_module_is_a_command() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "app.tokens", "new", "a"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert "[[tokens]]" in ended.stdout
