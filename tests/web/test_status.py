"""The status page in a browser: what it shows of living and dead enclaves, and that it trusts no string."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from chromium import Browser
from flask import Flask, Response, request
from selenium.webdriver.common.keys import Keys
from test_page_use import contrast
from werkzeug.serving import make_server

from app.status.routes import PAGE, policy
from devstack import __main__ as commands
from devstack.stack import Stack

CHECKOUT = Path(__file__).parent.parent.parent
HTML = PAGE.read_text(encoding="utf-8")
HOSTILE = "</script><img src=x onerror=document.title='run'>\u202e\"'&lt;"
BOOT = "ab" * 16
PCRS = {f"pcr{index}": f"{index}a" * 48 for index in (0, 1, 2)}
ENCLAVE = {
    "service": "vies", "cid": 16, "hosts": ["ec.europa.eu"], "state": "RUNNING", "connectivity": "responsive",
    "healthy": True, "stateAgeMs": None, "debug": None, "pingMs": 1, "pingAgeMs": 700, "boot": BOOT, "nsm": "fresh",
    "nsmAgeMs": 1500, "rightService": True, "ejected": False, "draining": False, "inFlight": 0, "idleConnections": 1,
    "claimed": {"pcrs": PCRS, "boot": BOOT, "ageMs": 5},
}  # fmt: skip
RELEASE = {"commit": "c0ffee" * 6 + "c0ff", "pcrs": PCRS, "revoked": False}


def said(*enclaves: dict[str, Any], **more: Any) -> dict[str, Any]:
    service = {
        "name": "vies",
        "hosts": ["ec.europa.eu"],
        "releases": [RELEASE],
        "releasesProblem": None,
        "enclaves": [*enclaves],
    }
    service |= more.pop("service", {})
    recent = {"process": 7, "questions": []}
    return {
        "timestamp": 1_767_225_600_000,
        "source": None,
        "services": [service],
        "outcomes": [],
        "recent": recent,
        **more,
    }


class Parent:
    """The page as it is served, beside a /status that says what a test wants. `heard` are its Authorizations."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = said(ENCLAVE)
        self.token: str | None = None
        self.heard: list[str | None] = []
        app = Flask(__name__)
        app.add_url_rule("/", "page", lambda: Response(HTML, headers={"Content-Security-Policy": policy(HTML)}))
        app.add_url_rule("/status", "status", self._say)
        app.add_url_rule("/favicon.ico", "icon", lambda: Response(status=204))
        self.server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.port}/"

    def _say(self) -> Response:
        self.heard.append(request.headers.get("Authorization"))
        if self.token is not None and self.heard[-1] != f"Bearer {self.token}":
            status = 403 if self.heard[-1] == "Bearer tytle_fetch" else 401
            return Response('{"success":false,"error":"no"}', status=status, content_type="application/json")
        return Response(json.dumps(self.status), content_type="application/json")

    def start(self) -> None:
        self._thread = threading.Thread(target=self.server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def parent() -> Iterator[Parent]:
    parent = Parent()
    parent.start()
    yield parent
    parent.stop()


def opened(browser: Browser, url: str, *, for_text: str = "as of") -> str:
    """Open a page anew, without what a tab keeps, and return its text once it shows something."""
    browser.driver.get(url)
    browser.run("sessionStorage.clear()")
    browser.driver.get("about:blank")
    browser.console()
    browser.requests()
    browser.driver.get(url)
    return shown(browser, for_text)


def shown(browser: Browser, for_text: str) -> str:
    """Wait until the page shows a text, and return all that it shows."""
    wait = """
    const [wanted, done] = arguments, end = Date.now() + 15000;
    (function look() {
      const text = document.body.innerText;
      if (text.includes(wanted) || Date.now() > end) return done(text);
      setTimeout(look, 20);
    })();
    """
    text: str = browser.wait(wait, for_text)
    assert for_text in text
    return text


def card(browser: Browser, name: str) -> str:
    text: str = browser.find(f'[data-enclave="{name}"]').text
    return text


# --- what it shows


def test_it_shows_a_real_parent_and_a_killed_enclave_as_dead(browser: Browser) -> None:
    with Stack(enclaves=2) as stack:
        requests.post(f"{stack.url}/attest/fetch", json=commands.lookup("PT", "507172230"), timeout=30)
        opened(browser, f"{stack.url}/")
        text = shown(browser, "claimed PCR0")  # the second look has it
        assert "healthy" in card(browser, "vies/16")
        assert "no release is listed here" in card(browser, "vies/16")
        assert "an unverified claim of this parent: check it yourself" in text
        assert browser.find("#outcomes td.number").text == "1"
        stack.kill_worker(1)
        shown(browser, "does not answer")
        assert "does not answer" in card(browser, "vies/116")
        assert "not healthy" in card(browser, "vies/116")
        assert "does not answer" not in card(browser, "vies/16")
        assert browser.console() == []
        kept = {f"{stack.url}/", f"{stack.url}/status", f"{stack.url}/favicon.ico"}
        assert {url for url in browser.requests() if not url.startswith("data:")} <= kept
        assert f"{stack.url}/enclaves/vies/identity" in browser.find("#identity-commands").text
        commands_work(browser, stack)


def commands_work(browser: Browser, stack: Stack) -> None:
    """Run what the page tells people to run. It ends at step 3: this stack's root is not AWS's."""
    folder = stack.folder / "relying-party"
    folder.mkdir()
    identity = requests.get(f"{stack.url}/enclaves/vies/identity", timeout=30).json()
    pcrs = "".join(f'pcr{index} = "{identity["pcrs"][f"pcr{index}"]}"\n' for index in (0, 1, 2))
    (folder / "vies.pcrs.toml").write_text(f'service = "vies"\n[[releases]]\ncommit = "{"0" * 40}"\n{pcrs}')
    reply = requests.post(f"{stack.url}/attest/fetch", json=commands.lookup("PT", "507172230"), timeout=30)
    (folder / "reply.json").write_bytes(reply.content)
    shim = f'tytle-verify() {{ PYTHONPATH={CHECKOUT} "{sys.executable}" -m tytle_verifier "$@"; }}\n'
    for part in ("#identity-commands", "#reply-commands"):
        done = subprocess.run(
            ["bash", "-ec", shim + browser.find(part).text], cwd=folder, capture_output=True, check=False
        )
        assert done.returncode == 13, done


def test_releases_and_claims_are_compared(browser: Browser, parent: Parent) -> None:
    other = {**ENCLAVE, "cid": 20, "claimed": {**ENCLAVE["claimed"], "pcrs": {**PCRS, "pcr0": "ff" * 48}}}
    debug = {**ENCLAVE, "cid": 24, "claimed": {**ENCLAVE["claimed"], "pcrs": {"pcr4": "ff" * 48}}}
    unknown = {**ENCLAVE, "cid": 28, "claimed": None}
    parent.status = said(ENCLAVE, other, debug, unknown)
    opened(browser, parent.url)
    assert f"as release {RELEASE['commit']}" in card(browser, "vies/16")
    assert "as no release that is listed here" in card(browser, "vies/20")
    assert "debug mode, which proves nothing" in card(browser, "vies/24")
    assert "not known yet" in card(browser, "vies/28")
    parent.status = said(ENCLAVE, service={"releases": [{**RELEASE, "revoked": True}]})
    opened(browser, parent.url)
    assert "which is revoked" in card(browser, "vies/16")


def test_conditions_are_told_in_words(browser: Browser, parent: Parent) -> None:
    down = {**ENCLAVE, "connectivity": "unresponsive", "healthy": False, "pingMs": None, "boot": None, "nsmAgeMs": None}
    parent.status = said(
        {**down, "draining": True, "ejected": True, "rightService": False, "debug": True, "nsm": "unknown"}
    )
    opened(browser, parent.url)
    text = card(browser, "vies/16")
    for word in (
        "does not answer",
        "not healthy",
        "draining",
        "left out",
        "is another service's",
        "debug mode",
        "no answer",
    ):
        assert word in text


def test_the_newest_questions_are_said_to_be_of_one_process(browser: Browser, parent: Parent) -> None:
    question = {"time": 1_767_225_600_000, "service": "vies", "route": "query", "outcome": "success", "ms": 12}
    outcome = {"service": "vies", "route": "query", "outcome": "success", "count": 41}
    parent.status = said(ENCLAVE, outcomes=[outcome], recent={"process": 7, "questions": [question]})
    text = opened(browser, parent.url)
    assert "The newest in one process (7) of this parent, not of the whole host" in text
    assert "All processes of this parent, since it started" in text
    assert [cell.text for cell in browser.driver.find_elements("css selector", "td.number")] == ["41", "12"]


# --- what it does not trust


def hostile(value: Any) -> Any:
    """Return the same with every text made hostile, but for those that the page compares."""
    if isinstance(value, dict):
        return {key: each if key in ("connectivity", "nsm") else hostile(each) for key, each in value.items()}
    if isinstance(value, list):
        return [hostile(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_texts_stay_texts(browser: Browser, parent: Parent) -> None:
    question = {"time": 1, "service": "s", "route": "r", "outcome": "o", "ms": 1}
    outcome = {"service": "s", "route": "r", "outcome": "o", "count": 1}
    service = {"releasesProblem": "x"}
    whole = said(ENCLAVE, service=service, outcomes=[outcome], recent={"process": 7, "questions": [question]})
    parent.status = {**hostile(whole), "source": None}
    text = opened(browser, parent.url)
    assert text.count(HOSTILE.partition("\u202e")[0]) > 15
    assert browser.driver.title == "Enclaves of this parent"
    assert browser.run("return document.querySelectorAll('img, iframe, object, style + style').length") == 0
    assert browser.run("return document.scripts.length") == 1
    assert browser.console() == []


@pytest.mark.parametrize(
    "source", ["javascript:document.title='run'", "http://x.test/", "data:text/html,x", "//x.test"]
)
def test_a_source_that_is_no_https_url_becomes_no_link(browser: Browser, parent: Parent, source: str) -> None:
    parent.status = said(ENCLAVE, source=source)
    opened(browser, parent.url, for_text="vies/16")
    assert browser.driver.find_elements("css selector", "#specification a") == []


def test_a_source_becomes_a_link(browser: Browser, parent: Parent) -> None:
    parent.status = said(ENCLAVE, source="https://git.test/tytle")
    opened(browser, parent.url)
    assert browser.find("#specification a").get_attribute("href") == "https://git.test/tytle"


def test_the_policy_stops_script_and_connections_that_are_not_the_page_s(browser: Browser, parent: Parent) -> None:
    opened(browser, parent.url)
    browser.run(
        """
        const script = document.createElement("script");
        try { script.textContent = "document.title = 1"; document.body.append(script); } catch {}
        """
    )
    browser.run("try { document.body.innerHTML = '<b>x</b>'; } catch {}")
    failed = browser.wait(
        "const done = arguments[0]; fetch('https://x.test/').then(() => done(false), () => done(true));"
    )
    assert (failed, browser.driver.title) == (True, "Enclaves of this parent")
    assert any("Content Security Policy" in line for line in browser.console())


# --- who asks


def test_a_parent_that_wants_to_know_who_asks_is_given_a_token_which_only_this_tab_keeps(
    browser: Browser, parent: Parent
) -> None:
    parent.token = "tytle_right"
    opened(browser, parent.url, for_text="Bearer token")
    field = browser.find("#token")
    assert browser.run("return document.querySelector('label[for=token]').textContent") == "Bearer token"
    field.send_keys("tytle_wrong")
    browser.find("#caller button").click()
    shown(browser, "This token is not known.")
    assert browser.run("return sessionStorage.length") == 0
    field.send_keys("tytle_fetch", Keys.ENTER)
    shown(browser, "This token lacks the scope \u201cmetrics\u201d.")
    field.send_keys("tytle_right", Keys.ENTER)
    assert "vies/16" in shown(browser, "as of")
    assert not browser.find("#caller").is_displayed()
    assert parent.heard[-4:] == [None, "Bearer tytle_wrong", "Bearer tytle_fetch", "Bearer tytle_right"]
    assert "tytle_right" not in browser.driver.page_source
    assert browser.run("return [localStorage.length, document.cookie, Object.values(sessionStorage)]") == [
        0,
        "",
        ["tytle_right"],
    ]
    browser.driver.refresh()
    shown(browser, "vies/16")


def test_a_parent_that_is_gone_is_said_to_be_and_what_is_shown_to_be_old(browser: Browser, parent: Parent) -> None:
    opened(browser, parent.url)
    parent.stop()
    browser.find("#refresh").click()
    assert "What is shown below is old" in shown(browser, "This parent does not answer.")
    assert "vies/16" in card(browser, "vies/16")


# --- for everybody


def test_colours_have_contrast_in_both_schemes() -> None:
    pairs = [(ink, back) for ink in ("ink", "soft", "accent") for back in ("page", "card")]
    pairs += [(name, back) for name in ("good", "bad", "warn") for back in (f"{name}-back", "card", "page")]
    pairs += [("accent", "warn-back")]  # the link in the note
    light, dark = re.findall(r":root \{(.*?)\}", HTML, re.DOTALL)
    for scheme in (light, dark):
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", scheme))
        assert dict.fromkeys(pairs, True) == {(a, b): contrast(colours[a], colours[b]) >= 4.5 for a, b in pairs}


def test_everything_that_can_be_used_is_reached_by_key_and_has_a_name(browser: Browser, parent: Parent) -> None:
    opened(browser, parent.url)
    reached = []
    for _ in range(6):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        element = browser.driver.switch_to.active_element
        reached.append(element.get_attribute("id") or element.get_attribute("href").removeprefix(parent.url))
        assert element.accessible_name
    assert reached == ["#verify", "refresh", "again", "identity-commands", "reply-commands", "openapi.json"]


def test_regions_headings_and_tables_have_their_roles(browser: Browser, parent: Parent) -> None:
    outcome = {"service": "vies", "route": "query", "outcome": "success", "count": 41}
    parent.status = said(ENCLAVE, outcomes=[outcome])
    opened(browser, parent.url)
    names = [each.accessible_name for each in browser.driver.find_elements("css selector", "section")]
    assert names == ["Services", "service vies", "How questions ended", "How to verify"]
    assert browser.find("#trouble").aria_role == "alert"
    assert browser.find("table").accessible_name.startswith("All processes")
    assert {each.get_attribute("scope") for each in browser.driver.find_elements("css selector", "th")} == {"col"}
    assert [each.tag_name for each in browser.driver.find_elements("css selector", "h1")] == ["h1"]


def test_it_can_be_read_on_a_phone(browser: Browser, parent: Parent) -> None:
    question = {"time": 1, "service": "stripe-payment", "route": "query", "outcome": "upstream_failure", "ms": 12000}
    parent.status = said(ENCLAVE, recent={"process": 7, "questions": [question]})
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        opened(browser, parent.url)
        wide = """
        const all = [...document.querySelectorAll("main *")];
        return all.filter((each) => each.getBoundingClientRect().right > innerWidth + 1).map((each) => each.outerHTML);
        """
        assert browser.run("return [innerWidth, document.documentElement.scrollWidth]") == [360, 360]
        assert browser.run(wide) == []
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_stops_asking_when_told_to(browser: Browser, parent: Parent) -> None:
    opened(browser, parent.url)
    browser.find("#again").click()
    shown(browser, "as of")
    browser.wait("setTimeout(arguments[0], 300)")
    heard = len(parent.heard)
    browser.wait("setTimeout(arguments[0], 5500)")
    assert len(parent.heard) == heard
