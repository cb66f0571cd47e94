"""README's "Deploy on EC2", taken apart: each command as a list of words, with its variables replaced."""

import re
import shlex
from collections.abc import Iterator

from tests.deploy_kit import ROOT

VARIABLES = {
    "HOST": "ec2-user@192.0.2.1",
    "REGISTRY": "012345678901.dkr.ecr.eu-west-1.amazonaws.com",
    "SUBNETS": "subnet-1,subnet-2",
}


def blocks() -> list[str]:
    """Return the section's shell blocks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## Deploy on EC2\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """Return every command, those inside `$(...)` and those that ssh runs elsewhere too, without redirections."""
    return [words for block in blocks() for words in _commands(block)]


def _commands(text: str) -> Iterator[list[str]]:
    text = text.replace("\\\n", " ")
    for inner in re.findall(r"\$\(([^()]*)\)", text):
        yield from _commands(inner)
    for line in re.sub(r"\$\([^()]*\)", "substituted", text).splitlines():
        yield from _line(re.sub(r"\$([A-Z0-9_]+)", lambda found: VARIABLES.get(found[1], "value"), line))


def _line(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, "&&"]:
        if word not in ("&&", "|", ";", "&"):
            words.append(word)
            continue
        yield from _one(words)
        words = []


def _one(words: list[str]) -> Iterator[list[str]]:
    words = [word for index, word in enumerate(words) if ">" not in (word, words[index - 1]) and word != ">&"]
    while words and (re.fullmatch(r"[A-Z0-9_]+=.*", words[0]) or words[0] in ("export", "sudo")):
        words = words[1:]
    if not words:
        return
    yield words
    if words[0] == "ssh" and " " in words[-1]:
        yield from _commands(words[-1])


def named(program: str) -> list[list[str]]:
    """Return the commands of one program."""
    return [words for words in commands() if words[0] == program]
