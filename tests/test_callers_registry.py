"""The file of callers: what it means, and everything that is refused in it."""

import hmac
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.callers.caller import Caller, Certificate
from app.callers.registry import DEFAULT_CONCURRENT, MAX_CALLERS, MAX_FILE_BYTES, Callers, CallersError, load
from app.errors import ApiError
from app.limits.values import Limits
from app.log import of_caller
from tests.gate_kit import KNOWN, TOKEN, digest, token_toml

CLIENT = f'[[clients]]\nname = "c"\nsha256 = "{"ab" * 32}"\n'
NAMED = '[[clients]]\nname = "n"\nsan = "DNS:agent.test"\n'


def read(*entries: str) -> Callers:
    return load("\n".join(entries).encode(), services=KNOWN)


def test_an_entry_says_who_may_ask_what_and_how_much() -> None:
    callers = read(
        token_toml(
            "agent-a",
            TOKEN,
            'services = ["vies"]',
            'scopes = ["fetch", "metrics"]',
            "rate = 2.5",
            "burst = 7",
            "concurrent = 3",
            "expires = 2030-01-01T01:00:00+01:00",
        )
    )
    assert callers.all == (
        Caller(
            name="agent-a",
            services=frozenset({"vies"}),
            scopes=frozenset({"fetch", "metrics"}),
            limits=Limits(rate=2.5, burst=7, concurrent=3),
            expires=1893456000.0,
        ),
    )


def test_what_an_entry_does_not_say_is_all_services_questions_only_and_a_limit_of_what_is_under_way() -> None:
    (caller,) = read(token_toml("a")).all
    assert (caller.services, caller.scopes, caller.expires) == (None, {"fetch"}, None)
    assert caller.limits == Limits(rate=None, burst=1, concurrent=DEFAULT_CONCURRENT)


@pytest.mark.parametrize(("rate", "burst"), [("0.2", 1), ("3", 3), ("3.5", 4)])
def test_a_rate_without_a_burst_lets_one_second_s_questions_come_at_once(rate: str, burst: int) -> None:
    (caller,) = read(token_toml("a", TOKEN, f"rate = {rate}")).all
    assert caller.limits.burst == burst


def test_a_date_counts_from_its_first_instant_in_utc() -> None:
    assert read(token_toml("a", TOKEN, "expires = 2030-01-01")).all[0].expires == 1893456000.0


def test_a_token_is_found_among_many_and_another_is_nobody_s() -> None:
    callers = read(*(token_toml(f"t{number}", f"token-{number}") for number in range(300)))
    assert [callers.of_token(f"token-{number}") for number in (0, 299)] == [callers.all[0], callers.all[299]]
    assert [callers.of_token(other) for other in ("token-300", "", "token-1 ", digest("token-1"))] == [None] * 4


def test_digests_are_compared_in_constant_time_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    twin = digest(TOKEN)[:8] + "0" * 56  # the same start: only the comparison tells them apart
    callers = read(f'[[tokens]]\nname = "twin"\nsha256 = "{twin}"\n', token_toml("a"))
    compared: list[tuple[bytes, bytes]] = []
    honest = hmac.compare_digest

    def watched(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return honest(left, right)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    found = callers.of_token(TOKEN)
    assert found is not None
    assert found.name == "a"
    shown = sha256(TOKEN.encode()).digest()
    assert compared == [(bytes.fromhex(twin), shown), (shown, shown)]


def test_a_certificate_is_known_by_its_digest_or_by_one_listed_name() -> None:
    callers = read(CLIENT, NAMED, '[[clients]]\nname = "u"\nsan = "URI:spiffe://x/y"\n')
    by_name = {caller.name: caller for caller in callers.all}

    def of(digest: bytes, *names: str) -> Caller | None:
        return callers.of_certificate(Certificate(digest=digest, names=frozenset(names)))

    assert of(b"\xab" * 32) == of(b"\xab" * 32, "DNS:agent.test") == by_name["c"]
    assert of(b"\0" * 32, "DNS:agent.test", "DNS:other.test") == by_name["n"]
    assert of(b"\0" * 32, "URI:spiffe://x/y") == by_name["u"]
    assert of(b"\0" * 32, "DNS:agent.test", "URI:spiffe://x/y") is None  # two callers: neither
    assert of(b"\0" * 32, "DNS:AGENT.test", "email:agent.test") is None


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "expected 1 to 1000 [[tokens]] and [[clients]]"),
        (["tokens = []"], "tokens: expected at least one table"),
        (["limits = 3"], "limits: unknown key; expected one of tokens, clients"),
        ([token_toml("a", TOKEN, 'token = "x"')], "tokens[0].token: unknown key"),
        ([token_toml("a", TOKEN, 'san = "DNS:x"')], "tokens[0].san: unknown key"),
        (['[[tokens]]\nname = "a"'], "tokens[0].sha256: missing"),
        ([f'[[tokens]]\nsha256 = "{"0" * 64}"'], "tokens[0].name: missing"),
        (['[[tokens]]\nname = "a"\nsha256 = "tytle_x"'], "tokens[0].sha256: expected 64 hexadecimal digits"),
        ([f'[[tokens]]\nname = "a"\nsha256 = "{"AB" * 32}"'], "tokens[0].sha256: expected 64 hexadecimal digits"),
        ([token_toml("a"), token_toml("b")], "tokens[1].sha256: another entry has the same one"),
        ([token_toml("a"), token_toml("a", "other")], "tokens[1].name: another entry has the same one"),
        ([token_toml("c"), CLIENT], "clients[0].name: another entry has the same one"),
        ([NAMED, NAMED.replace('"n"', '"m"')], "clients[1].san: another entry has the same one"),
        ([token_toml("A b")], "tokens[0].name: expected a name of"),
        ([CLIENT + 'san = "DNS:x"'], "clients[0]: expected either sha256 or san"),
        (['[[clients]]\nname = "c"'], "clients[0]: expected either sha256 or san"),
        (['[[clients]]\nname = "c"\nsan = "agent.test"'], "clients[0].san: expected DNS:, URI: or email: and a name"),
        ([token_toml("a", TOKEN, 'services = ["viez"]')], "tokens[0].services: expected some of sicae, vies"),
        ([token_toml("a", TOKEN, "services = []")], "tokens[0].services: expected some of"),
        ([token_toml("a", TOKEN, 'scopes = ["root"]')], "tokens[0].scopes: expected some of archive, fetch, metrics"),
        *(
            ([token_toml("a", TOKEN, f"rate = {rate}")], "tokens[0].rate: expected a number from 0.001 to 1000000")
            for rate in ("0", "-1", "true", '"3"', "nan", "inf", "1e7")
        ),
        ([token_toml("a", TOKEN, "burst = 3")], "tokens[0].burst: means nothing without a rate"),
        ([token_toml("a", TOKEN, "rate = 1\nburst = 0")], "tokens[0].burst: expected an integer from 1"),
        ([token_toml("a", TOKEN, "concurrent = 0")], "tokens[0].concurrent: expected an integer from 1"),
        *(
            ([token_toml("a", TOKEN, f"expires = {when}")], "tokens[0].expires: expected a date")
            for when in ("2030-01-01T00:00:00", '"2030-01-01"', "12:00:00", "1893456000")
        ),
        (["[[tokens]"], "not TOML in UTF-8"),
        (["#" * (MAX_FILE_BYTES + 1)], "over 1048576 bytes"),
        ([token_toml(f"t{number}", str(number)) for number in range(MAX_CALLERS + 1)], "expected 1 to 1000"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(entries: list[str], message: str) -> None:
    with pytest.raises(CallersError) as caught:
        read(*entries)
    assert str(caught.value).startswith(message)


def test_no_refusal_repeats_what_could_be_a_token() -> None:
    for entry in (f'[[tokens]]\nname = "{TOKEN}!"\n', f'[[tokens]]\nname = "a"\nsha256 = "{TOKEN}"', f"{TOKEN}\n"):
        with pytest.raises(CallersError) as caught:
            read(entry)
        assert TOKEN not in str(caught.value)


@given(st.binary(max_size=200) | st.text(alphabet='[]token\n="a1.{}', max_size=80).map(str.encode))
def test_any_bytes_are_callers_or_an_error_of_this_room(data: bytes) -> None:
    try:
        assert load(data, services=KNOWN).all
    except CallersError:
        return


def test_a_caller_may_use_its_services_and_scopes_alone() -> None:
    caller = Caller(name="a", services=frozenset({"vies"}))
    caller.check_service("vies")
    caller.check_scope("fetch")
    caller.check_scope(None)
    with pytest.raises(ApiError) as service:
        caller.check_service("sicae")
    with pytest.raises(ApiError) as scope:
        caller.check_scope("metrics")
    assert (service.value.status, service.value.code) == (403, "service.not-allowed")
    assert (scope.value.status, scope.value.code) == (403, "scope.not-allowed")
    assert (of_caller(caller), of_caller(None)) == ({"caller": "a"}, {})


def test_no_callers_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no callers"):
        Callers(tokens=(), certificates={}, names={})
