"""Plans: how much memory, which proxies, and what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.doctor import MEMORY_PER_EIF, NEEDED_PROXY_WORKERS
from deploy import measurements, plan
from deploy.errors import BadMeasurements, BadPlan
from tests.deploy_kit import MEASURED, a_plan


@given(st.integers(1, 16 * 1024**3))
def test_memory_is_at_least_four_images_in_whole_huge_pages(eif_bytes: int) -> None:
    memory = plan.memory_mib(eif_bytes)
    assert memory * 1024**2 >= plan.MEMORY_PER_EIF * eif_bytes
    assert memory >= plan.LEAST_MEMORY_MIB
    assert memory % plan.HUGE_PAGE_MIB == 0
    assert memory == plan.LEAST_MEMORY_MIB or (memory - plan.HUGE_PAGE_MIB) * 1024**2 < plan.MEMORY_PER_EIF * eif_bytes


def test_the_doctor_asks_for_what_is_rendered() -> None:
    assert plan.PROXY_WORKERS == NEEDED_PROXY_WORKERS
    assert plan.MEMORY_PER_EIF == MEMORY_PER_EIF


def test_two_enclaves_of_a_service_share_proxies_that_take_the_connections_of_both() -> None:
    made = a_plan("vies", "sicae", cids={"vies": (16, 20)})
    assert [(each.service.name, each.cid, each.name) for each in made.enclaves] == [
        ("vies", 16, "tytle-vies-16"),
        ("vies", 20, "tytle-vies-20"),
        ("sicae", 17, "tytle-sicae-17"),
    ]
    assert [
        (each.upstream.host, each.upstream.proxy_port, each.remote_port, each.workers) for each in made.proxies
    ] == [
        ("ec.europa.eu", 8443, 443, 256),
        ("api.service.hmrc.gov.uk", 8444, 443, 256),
        ("www.sicae.pt", 8445, 80, 128),
    ]


@pytest.mark.parametrize(("names", "cpus", "type_"), [(("vies",), 4, "m5.xlarge"), ((), 10, "m5.4xlarge")])
def test_a_host_has_two_cpus_for_the_parent_and_two_for_each_enclave(
    names: tuple[str, ...], cpus: int, type_: str
) -> None:
    made = a_plan(*names)
    assert (made.cpus, made.instance_type) == (cpus, type_)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cids": {"vies": (16, 20), "sicae": (17, 21, 22)}}, "got 5 enclaves"),
        ({"cids": {"vies": (17,)}}, "used twice"),
        ({"cids": {"vies": (3,)}}, "out of range"),
        ({"cids": {"vies": ()}, "names": ("vies",)}, "got 0 enclaves"),
        ({"cids": {"rates": (20,)}}, "'rates' is none of"),
        ({"memory": {"rates": 600}}, "'rates' is none of"),
        ({"memory": {"vies": 256}}, "got 256 MiB"),
        ({"memory": {"vies": 601}}, "got 601 MiB"),
        ({"eif_bytes": {"vies": 1}}, "no measurements.json of 'sicae'"),
        ({"env": "Prod"}, "env: got 'Prod'"),
        ({"env": "../prod"}, "env: got"),
        ({"registry": "x\nimage: evil"}, "registry: got"),
    ],
)
def test_what_makes_no_deployment_is_refused(changed: dict[str, Any], said: str) -> None:
    names = changed.pop("names", ("vies", "sicae"))
    with pytest.raises(BadPlan, match=said):
        a_plan(*names, **changed)


def test_more_memory_than_the_image_needs_can_be_asked_for() -> None:
    assert a_plan("vies", memory={"vies": 1024}).enclaves[0].memory_mib == 1024


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda value: str(value).encode())
)
def test_any_bytes_are_measurements_or_this_rooms_error(data: bytes) -> None:
    with pytest.raises(BadMeasurements):
        measurements.read(data)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"PCR0": "0" * 96}, "PCR0"),
        ({"PCR1": "AB" * 48}, "PCR1"),
        ({"PCR2": None}, "PCR2"),
        ({"eif": {"bytes": 0}}, "eif.bytes"),
        ({"eif": {"bytes": True}}, "eif.bytes"),
        ({"eif": 5}, "eif.bytes"),
        ({"commit": ""}, "commit"),
        ({"base": 5}, "base"),
        ({"service": None}, "service"),
    ],
)
def test_measurements_that_lack_something_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(BadMeasurements, match=said):
        measurements.read(json.dumps({**MEASURED, **changed}).encode())
