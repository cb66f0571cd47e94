"""What hostile bytes take of resident memory, in a process of their own, with a ceiling far from both sides.

Without limits it was 120 to 600 MiB for JSON and 4 GiB for XML, which held up all threads meanwhile.
"""

import pytest

from tests.memory_child import in_child

MAX_MIB = 100  # ours: with the limits these take 0 to 25


@pytest.mark.parametrize("kind", ["objects", "lists"])
@pytest.mark.parametrize("road", ["worker", "sealed", "parent: query", "parent", "verifier"])
def test_json_of_many_values_takes_little_memory(road: str, kind: str) -> None:
    assert in_child(road, kind) < MAX_MIB


@pytest.mark.parametrize("road", ["handler", "derivation"])
def test_an_upstreams_json_takes_little_memory(road: str) -> None:
    assert in_child(road, "objects") < MAX_MIB


@pytest.mark.parametrize("road", ["handler: XML", "derivation: XML"])
def test_xml_of_one_long_namespace_takes_little_memory(road: str) -> None:
    assert in_child(road, "") < MAX_MIB
