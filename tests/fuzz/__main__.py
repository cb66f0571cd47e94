"""Runs one target: `python -m tests.fuzz NAME FOLDER [libFuzzer's options]`. `--list` names them all.

FOLDER keeps what it finds. It starts from the target's seeds, its corpus in tests/fuzz/corpus, and, where they are at
hand, the real attestation documents. Those are not ours to pass on: what grows from them is kept in FOLDER-real.
"""

import os
import sys
from pathlib import Path

import atheris

from tests.fuzz.target import Target

HERE = Path(__file__).parent
ROOMS: dict[str, tuple[str, ...]] = {  # whose coverage guides a target: the rooms that it is about, and no others
    "frames": ("wire",),
    "messages": ("wire",),
    "reports": ("wire", "app"),
    "urls": ("policy", "wire", "tytle_verifier"),
    "manifests": ("policy", "enclave_worker"),
    "upstream": ("enclave_worker",),
    "nsm": ("nsm", "tytle_verifier"),
    "statements": ("tytle_verifier",),
    "documents": ("tytle_verifier",),
    "replies": ("tytle_verifier",),
    "sealed": ("enclave_worker", "tytle_verifier", "wire"),
    "handlers": ("enclave_worker", "tytle_verifier", "wire"),
    "log": ("app", "tytle_verifier"),
    "callers": ("app", "policy"),
}
OF_DOCUMENTS = {"nsm": b"\x01", "documents": b"\x00"}  # the first byte of an input that is a document


def main(name: str, folder: Path, options: list[str]) -> None:
    """Fuzz until an option or a finding ends it."""
    with atheris.instrument_imports(include=list(ROOMS[name])):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415  instrumented where it is imported first
    target = TARGETS[name]
    documents = _real_documents() if name in OF_DOCUMENTS else []
    work = folder.with_name(folder.name + "-real") if documents else folder
    work.mkdir(parents=True, exist_ok=True)
    for seed, data in target.seeds():
        (work / f"seed-{seed.replace('/', '-')}").write_bytes(data)
    for document in documents:
        (work / document.name).write_bytes(OF_DOCUMENTS[name] + document.read_bytes())
    words = folder.with_suffix(".words")
    words.write_text("".join(f'"{"".join(f"{chr(92)}x{byte:02x}" for byte in word)}"\n' for word in target.words))
    folders = [str(each) for each in (work, HERE / "corpus" / name) if each.is_dir()]
    arguments = [sys.argv[0], f"-max_len={target.max_bytes}", f"-dict={words}", *options, *folders]
    atheris.Setup(arguments, target.one_input, **_mutation(target))
    atheris.Fuzz()


def _mutation(target: Target) -> dict[str, object]:
    mutate = target.mutate
    if mutate is None:
        return {}
    return {"custom_mutator": lambda data, most, seed: mutate(data, most, seed, atheris.Mutate)}


def _real_documents() -> list[Path]:
    given = os.environ.get("ATTESTATION_DOCUMENTS")
    folder = Path(given) if given else HERE.parents[2] / "shared" / "attestation-documents"
    return sorted((folder / "real").glob("*.bin"))


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        sys.exit(print("\n".join(ROOMS)))
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
