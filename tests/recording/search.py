"""Looking for secrets in files of any size."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.recording.forms import forms

BLOCK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A secret that was seen: its name, how it was spelt, in which record and where in it (the first time)."""

    secret: str
    form: str
    record: str
    offset: int


def sightings(secrets: Mapping[str, str | bytes], records: Mapping[str, Path]) -> list[Sighting]:
    """Look for every spelling of every secret (name -> value) in every record (name -> file)."""
    spelt = {form: (name, spelling) for name, value in secrets.items() for form, spelling in forms(value).items()}
    found: dict[tuple[bytes, str], Sighting] = {}
    overlap = max(map(len, spelt)) - 1
    for record, path in records.items():
        for start, block in _blocks(path, overlap):
            for form, (name, spelling) in spelt.items():
                if (form, record) not in found and (at := block.find(form)) >= 0:
                    found[form, record] = Sighting(secret=name, form=spelling, record=record, offset=start + at)
    return list(found.values())


def _blocks(path: Path, overlap: int) -> Iterator[tuple[int, bytes]]:
    """Yield the file in blocks that overlap, so that nothing hides on a boundary."""
    start, kept = 0, b""
    with path.open("rb") as file:
        while new := file.read(BLOCK_BYTES):
            block = kept + new
            yield start, block
            kept = block[-overlap:]
            start += len(block) - len(kept)
