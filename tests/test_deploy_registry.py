"""The file of releases: one format with the verifier's, added to and never rewritten."""

import dataclasses
import json
from typing import Any

import pytest

from deploy import measurements, publish, registry
from deploy.errors import NotPublishable
from deploy.measurements import Measurements
from eif import record
from tests.deploy_kit import COMMIT, MEASURED, services
from tytle_verifier import load_policy


def measured(**changed: Any) -> Measurements:
    return measurements.read(json.dumps({**MEASURED, **changed}).encode())


def test_a_first_release_makes_a_policy_that_the_verifier_and_the_rebuild_load() -> None:
    text = registry.with_release("", measured())
    policy = load_policy(text.encode())
    (release,) = policy.releases
    assert (policy.service, release.commit) == ("vies", COMMIT)
    assert release.pcrs == {index: bytes([0xA0 + index] * 48) for index in range(3)}
    record.check_release(MEASURED, text, COMMIT)


def test_a_release_is_added_behind_what_stands_there() -> None:
    before = '# ours\nservice = "vies"\nrequire_challenge = true\n\n' + registry._release(measured())
    after = registry.with_release(before, measured(commit="6" * 40, PCR0="b0" * 48))
    assert after.startswith(before)
    assert [release.commit for release in load_policy(after.encode()).releases] == [COMMIT, "6" * 40]


def test_publishing_twice_changes_nothing() -> None:
    once = registry.with_release("", measured())
    assert registry.with_release(once, measured()) == once


@pytest.mark.parametrize(
    ("existing", "said"),
    [
        (registry.with_release("", measured(PCR1="b1" * 48)), "other measurements"),
        ('service = "sicae"\n', "of 'sicae'"),
        ("service", "not TOML"),
        ('service = "vies"\nreleases = 5\n', "of 'vies'"),
    ],
)
def test_a_file_that_contradicts_is_not_written(existing: str, said: str) -> None:
    with pytest.raises(NotPublishable, match=said):
        registry.with_release(existing, measured())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"commit": COMMIT + ", changed"}, "clean commit"),
        ({"commit": "unknown"}, "clean commit"),
        ({"base": "local, package list 5e"}, "local base"),
        ({"service": "sicae"}, "'sicae', not of 'vies'"),
    ],
)
def test_measurements_that_nobody_could_check_are_not_published(changed: dict[str, str], said: str) -> None:
    with pytest.raises(NotPublishable, match=said):
        registry.check_publishable(measured(**changed), "vies", local_base=False)


def test_a_local_base_can_be_accepted_by_name() -> None:
    registry.check_publishable(measured(base="local, package list 5e"), "vies", local_base=True)


def test_the_parameter_of_pcr0_is_the_manifests_and_the_others_are_beside_it() -> None:
    made = dataclasses.replace(measured(), pcrs=("a", "b", "c"))
    assert publish.parameters(services()["stripe-payment"], made, "prod") == {
        "/tytle/prod/enclave/stripe-payment/pcr0": "a",
        "/tytle/prod/enclave/stripe-payment/pcr1": "b",
        "/tytle/prod/enclave/stripe-payment/pcr2": "c",
    }
