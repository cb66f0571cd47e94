"""The page as a file and as people use it: one file that asks the network for nothing, paste, drop, keys, colours."""

import base64
import hashlib
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import verifier_kit as kit
from cases import b64, toml
from chromium import PAGE, Browser
from corpora import corpus
from verifier_cases import ROOT, policy

HTML = PAGE.read_text(encoding="utf-8")
NOT_VERIFIED = "genuine AWS signature, but NOT verified: no expected measurements given"
OK, NOT_APPLIED = "ok", "not applied"


# --- the file --------------------------------------------------------------------------------------------------------


def part(tag: str) -> str:
    (found,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", HTML, re.DOTALL)
    return str(found)


@pytest.mark.parametrize("tag", ["script", "style"])
def test_the_content_security_policy_names_the_hash_of_what_the_page_holds(tag: str) -> None:
    digest = base64.b64encode(hashlib.sha256(part(tag).encode()).digest()).decode()
    assert f"{tag}-src 'sha256-{digest}'" in HTML


def test_the_content_security_policy_allows_nothing_else() -> None:
    (content,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', HTML)
    named = re.sub(r"'sha256-[^']*'", "HASH", content)
    assert named.split("; ") == [
        "default-src 'none'",
        "script-src HASH",
        "style-src HASH",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]


def test_the_page_is_one_file_that_makes_no_markup_from_text() -> None:
    words = r"\bsrc=|\bhref=|@import|url\(|\bfetch\(|XMLHttpRequest|WebSocket|innerHTML|outerHTML"
    words += r"|insertAdjacent|\beval\(|import "
    assert re.findall(words, HTML) == []


def test_the_pinned_root_is_the_one_of_the_package() -> None:
    pem = (PAGE.parent.parent / "aws_nitro_root_g1.pem").read_text()
    lines = part("script").partition("AWS_ROOT = ")[2].partition('].join("")')[0]
    assert re.findall(r'^    "([A-Za-z0-9+/=]+)",$', lines, re.MULTILINE) == pem.split("-----")[2].split()


def test_colours_have_contrast_in_both_schemes() -> None:
    pairs = [
        ("ink", "page"),
        ("ink", "card"),
        ("soft", "page"),
        ("soft", "card"),
        ("accent", "card"),
        ("accent", "page"),
    ]
    pairs += [(name, back) for name in ("good", "bad", "warn") for back in (f"{name}-back", "card", "page")]
    light, dark = re.findall(r":root \{(.*?)\}", part("style"), re.DOTALL)
    for scheme in (light, dark):
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", scheme))
        assert dict.fromkeys(pairs, True) == {(a, b): contrast(colours[a], colours[b]) >= 4.5 for a, b in pairs}


def contrast(one: str, other: str) -> float:
    """WCAG 2.2: contrast ratio."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


# --- evidence --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def enclave() -> dict[str, Any]:
    """A document that AWS signed, of an enclave that is not in debug mode, with its PCRs."""
    folder = corpus("ATTESTATION_DOCUMENTS", "attestation-documents")
    real = json.loads((folder / "real.json").read_text())
    entry = next(e for e in real if e["kind"] == "nsm" and not e["debug_mode"])
    return {"data": (folder / entry["file"]).read_bytes(), "pcrs": [entry["pcrs"][str(i)] for i in (0, 1, 2)]}


def archive(page: Browser) -> None:
    page.find("input[value=archive]").click()


def expect(page: Browser, pcrs: list[str]) -> None:
    for index, value in enumerate(pcrs):
        page.fill(f"pcr{index}", value)


def show_test_reply(page: Browser, reply: bytes, given: str | None = None) -> dict[str, Any]:
    """Verify under the test root through the exported function, the only way there is, and show the outcome."""
    script = """
    const [reply, policy, root, done] = arguments;
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    tytle.verify(bytes(reply), { time: { archive: true }, policy: tytle.readPolicy(policy), root: bytes(root) })
      .then(tytle.show).then(() => done(null), (error) => done(String(error.stack)));
    """
    assert page.wait(script, b64(reply), given or toml(policy()), b64(ROOT.der)) is None
    return page.verdict()


def test_a_pasted_document_without_expectations_is_never_green(page: Browser, enclave: dict[str, Any]) -> None:
    page.fill("evidence", b64(enclave["data"]))
    archive(page)
    verdict = page.press_verify()
    assert (verdict["verdict"], verdict["code"], verdict["look"], verdict["genuine"]) == ("partly", "5", "warn", "true")
    assert verdict["text"].startswith(f"NOT VERIFIED\n\n{NOT_VERIFIED}")
    assert verdict["steps"] == [OK] * 6 + ["not checked"] + [NOT_APPLIED] * 3
    assert "What is claimed (not verified)" in verdict["text"]
    assert page.run("return document.querySelectorAll('#result .good').length") == 0


def test_a_document_with_its_measurements_is_verified_and_with_others_refused(
    page: Browser, enclave: dict[str, Any]
) -> None:
    page.fill("evidence", b64(enclave["data"]))
    archive(page)
    expect(page, [f" {value.upper()} " for value in enclave["pcrs"]])
    verdict = page.press_verify()
    assert (verdict["verdict"], verdict["code"], verdict["look"]) == ("document", "0", "good")
    assert verdict["steps"] == [OK] * 7 + [NOT_APPLIED] * 3
    page.fill("pcr2", "ab" * 48)
    assert page.run("return document.getElementById('result').hidden") is True, "a verdict stands beside other inputs"
    verdict = page.press_verify()
    assert (verdict["verdict"], verdict["code"], verdict["step"], verdict["look"]) == ("refused", "16", "6", "bad")
    assert verdict["steps"] == [OK] * 6 + ["refused"] + [NOT_APPLIED] * 3


def test_a_stored_document_is_refused_live(page: Browser, enclave: dict[str, Any]) -> None:
    page.fill("evidence", b64(enclave["data"]))
    page.find("input[value=live]").click()
    verdict = page.press_verify()
    assert (verdict["verdict"], verdict["step"]) == ("refused", "3")
    assert "REFUSED at step 3: certificate chain" in verdict["text"]


@pytest.mark.parametrize("encode", [bytes, base64.b64encode, base64.encodebytes], ids=["binary", "base64", "wrapped"])
def test_a_dropped_file_replaces_what_was_pasted(page: Browser, enclave: dict[str, Any], encode: Any) -> None:
    page.fill("evidence", "something else")
    archive(page)
    page.drop(("document.bin", encode(enclave["data"])))
    assert page.find("#evidence-name").text == f"Holding document.bin, {len(encode(enclave['data']))} bytes."
    assert page.find("#evidence").get_property("value") == ""
    assert page.press_verify()["verdict"] == "partly"
    page.fill("evidence", "something else")
    assert page.find("#evidence-name").text == ""
    assert page.press_verify()["step"] == "0"


def test_files_are_chosen_and_two_dropped_at_once_are_not_taken(
    page: Browser, enclave: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "document.bin"
    file.write_bytes(enclave["data"])
    archive(page)
    page.find("#evidence-file").send_keys(str(file))
    assert page.press_verify()["verdict"] == "partly"
    page.find("#clear").click()
    page.drop(("a", b"{}"), ("b", b"{}"))
    assert page.verdict()["trouble"] == "Drop one file at a time."


def test_nothing_is_judged_before_evidence_and_time_are_chosen(page: Browser) -> None:
    assert page.press_verify()["trouble"] == "Give the evidence: paste it, drop it, or choose a file."
    page.fill("evidence", "{}")
    assert page.press_verify()["trouble"] == "Choose a time: live or archive."
    assert page.run("return document.activeElement.name") == "time"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"pcr0": "11" * 48}, "PCR1 is missing"),
        ({"pcr0": "11" * 47, "pcr1": "11" * 48, "pcr2": "11" * 48}, "PCR0: a value is 96 hex digits"),
        ({"pcr0": "00" * 48, "pcr1": "11" * 48, "pcr2": "11" * 48}, "PCR0 is zero, which is debug mode"),
        ({"url": "https://*"}, "give a whole URL"),
        ({"challenge": "c2hvcnQ="}, "a challenge has 16..64 bytes"),
        ({"challenge": "no base64"}, "challenge is not canonical base64"),
        ({"policy": "service = 1"}, "policy: "),
        ({"policy": toml(policy()), "service": "vies"}, "not both"),
        ({"request": "{}"}, "request: : missing key"),
    ],
)
def test_the_callers_own_mistakes_are_no_verdict(page: Browser, fields: dict[str, str], problem: str) -> None:
    page.fill("evidence", "{}")
    archive(page)
    for name, value in fields.items():
        page.fill(name, value)
    verdict = page.press_verify()
    assert problem in verdict["trouble"]
    assert "verdict" not in verdict


def test_the_page_is_used_with_keys_alone(page: Browser, enclave: dict[str, Any]) -> None:
    from selenium.webdriver.common.keys import Keys  # noqa: PLC0415 - the browser that is here came with it

    page.fill("evidence", b64(enclave["data"]))
    page.find("#evidence").send_keys(Keys.TAB, Keys.TAB)
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert page.run("return document.querySelector('input[name=time]:checked').value") == "archive"
    page.driver.switch_to.active_element.send_keys(Keys.TAB, Keys.TAB, "ab", Keys.ENTER)
    assert "PCR0" in page.verdict()["trouble"] or "PCR1" in page.verdict()["trouble"]
    page.fill("pcr0", "")
    page.find("#verify").send_keys(Keys.SPACE)
    assert page.verdict()["verdict"] == "partly"
    assert page.run("return document.activeElement.id") == "verdict-title"


# --- replies, and the test PKI ---------------------------------------------------------------------------------------


def test_a_reply_is_refused_under_the_only_root_that_the_page_offers(page: Browser) -> None:
    page.load("?root=test&test=1#root=" + b64(ROOT.der))
    page.fill("evidence", kit.reply().decode())
    archive(page)
    page.run("document.getElementById('more').open = true")
    page.fill("policy", toml(policy()))
    verdict = page.press_verify()
    assert (verdict["verdict"], verdict["step"], verdict["genuine"]) == ("refused", "3", "true")
    assert verdict["steps"] == [OK] * 3 + ["refused"] + ["not reached"] * 6


def test_what_a_test_pki_signed_always_says_so_and_is_never_green(page: Browser) -> None:
    verdict = show_test_reply(page, kit.reply())
    assert (verdict["verdict"], verdict["genuine"], verdict["look"]) == ("test-verified", "false", "warn")
    assert verdict["text"].startswith("TEST PKI ONLY\n\nthis proves nothing about AWS hardware")
    assert verdict["steps"] == [OK] * 10
    assert page.run("return document.querySelectorAll('#result .good').length") == 0
    assert show_test_reply(page, kit.reply(on_statement=kit.failed))["verdict"] == "test-failure"
    refused = show_test_reply(page, kit.reply(), toml(policy(methods=frozenset({"GET"}))))
    assert (refused["verdict"], refused["step"], refused["look"]) == ("refused", "8", "bad")
    assert refused["text"].startswith("TEST PKI REFUSED at step 8")


def test_what_is_attested_is_shown_and_nothing_hides_in_it(page: Browser) -> None:
    body = "caf\u00e9 \u202e\u200b\x1b[2J <img src=x onerror=alert(1)>\nend".encode()
    old = kit.legacy(kit.statement(), body)

    def on_statement(made: dict[str, Any]) -> None:
        made["exchanges"][0]["response"]["body"] = kit.digest(body)

    def on_document(signed: dict[str, Any]) -> None:
        signed["nonce"] = bytes.fromhex(old["nonce"])

    verdict = show_test_reply(page, kit.reply(on_statement=on_statement, on_document=on_document, body=body))
    assert verdict["verdict"] == "test-verified"
    text = page.find("#body-text").get_property("textContent")
    assert text == "café ⟨U+202E⟩⟨U+200B⟩⟨U+001B⟩[2J <img src=x onerror=alert(1)>\nend"
    assert page.find("#body-hex").get_property("textContent").replace(" ", "").replace("\n", "") == body.hex()
    statement = json.loads(page.find("#statement").get_property("textContent"))
    assert (statement["service"], statement["challenge"]) == ("vies", kit.CHALLENGE.hex())
    facts = page.find("#facts").text
    assert "Authorization: (withheld)" in facts
    assert kit.PCRS[0].hex() in facts


def test_refused_evidence_is_not_shown(page: Browser) -> None:
    verdict = show_test_reply(page, kit.reply().replace(b'"status":200', b'"status":201'))
    assert (verdict["verdict"], verdict["step"]) == ("refused", "8")
    assert page.run("return document.querySelectorAll('#facts, #statement, #body-text').length") == 0


# --- behaviour -------------------------------------------------------------------------------------------------------


def test_every_control_has_a_name_and_ids_are_unique(page: Browser) -> None:
    script = """
    const controls = [...document.querySelectorAll("input, textarea, button")];
    const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
    const nameless = controls.filter((one) => !one.labels?.length && !one.textContent.trim());
    return [controls.length, nameless.map((one) => one.outerHTML), ids.filter((id, at) => ids.indexOf(id) !== at)];
    """
    count, nameless, twice = page.run(script)
    assert (count > 15, nameless, twice) == (True, [], [])


def test_a_narrow_screen_does_not_scroll_sideways(page: Browser) -> None:
    metrics = {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        show_test_reply(page, kit.reply())
        page.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.run("return [innerWidth, document.documentElement.scrollWidth]") == [320, 320]
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_page_requests_only_itself_and_logs_nothing(browser: Browser) -> None:
    browser.requests(), browser.console()
    browser.load()
    archive(browser)
    browser.drop(("document.bin", kit.document()))
    expect(browser, [kit.PCRS[index].hex() for index in (0, 1, 2)])
    assert browser.press_verify()["step"] == "3"
    show_test_reply(browser, kit.reply())
    assert set(browser.requests()) <= {PAGE.as_uri(), "about:blank"}
    assert browser.console() == []


def test_the_policy_of_the_page_stops_what_tries_to_leave_it(page: Browser) -> None:
    script = """
    const [url, done] = arguments, stopped = [];
    document.addEventListener("securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
    new Image().src = url;
    fetch(url).catch(() => stopped.push("fetch failed"));
    try { document.body.innerHTML = "<p>"; } catch { stopped.push("no markup"); }
    setTimeout(() => done(stopped), 200);
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        stopped = page.wait(script, f"http://127.0.0.1:{server.getsockname()[1]}/")
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert {"connect-src", "img-src", "fetch failed", "no markup"} <= set(stopped)
    page.console()
