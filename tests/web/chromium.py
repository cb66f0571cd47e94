"""Drives tytle_verifier/web/index.html in headless Chromium, from file://; what it logs and requests is kept."""

import base64
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

PAGE = Path(__file__).parent.parent.parent / "tytle_verifier" / "web" / "index.html"
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1100,1400"),
    "--disable-dev-shm-usage",  # where that is small, a page's process crashes
)
CHUNK_BYTES = 8_000_000  # of one script's arguments

# Cases in, outcomes out, in one call: what the page decided, or the error that its caller made.
BATCH = """
const [cases, done] = arguments;
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const maybe = (value, read) => (value == null ? null : read(value));
async function decide({ data, kind, time, root, policy, challenge, request, body }) {
  try {
    const choices = {
      time, kind, root: maybe(root, bytes), body: maybe(body, bytes), request: maybe(request, tytle.readRequest),
      policy: maybe(policy, (text) => tytle.readPolicy(text, maybe(challenge, bytes))),
    };
    const { content, ...outcome } = await tytle.verify(bytes(data), choices);
    return { ...outcome, decided: outcome.step };
  } catch (error) {
    return { decided: error instanceof tytle.PolicyError ? "policy" : `crash: ${error.stack}` };
  }
}
(async () => { const all = []; for (const one of cases) all.push(await decide(one)); return all; })()
  .then(done, (error) => done(String(error.stack)));
"""


def missing(what: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed: the page is not tested")


@contextmanager
def start(profile: Path) -> Iterator["Browser"]:
    """Start Chromium with a fresh profile; skip, or fail under CI, where it or its driver is absent."""
    chromium, driver = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        missing("chromium with chromedriver")
    try:
        from selenium import webdriver  # noqa: PLC0415 - absent where the page is not tested
    except ImportError:
        missing("selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Browser(running)
    finally:
        running.quit()


class Browser:
    """The page in a browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver
        driver.set_script_timeout(120)
        self.load()

    def load(self, suffix: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(PAGE.as_uri() + suffix)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, *arguments: Any) -> Any:
        """Run a script that calls its last argument when it is done."""
        return self.driver.execute_async_script(script, *arguments)

    def decide(self, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Give `cases` (see BATCH) to the page's `verify`, in as few calls as their size allows."""
        outcomes: list[dict[str, Any]] = []
        chunk: list[dict[str, Any]] = []
        for case in cases:
            if chunk and sum(len(one["data"]) for one in chunk) + len(case["data"]) > CHUNK_BYTES:
                outcomes += self._batch(chunk)
                chunk = []
            chunk.append(case)
        return outcomes + self._batch(chunk)

    def _batch(self, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        outcomes = self.wait(BATCH, cases)
        assert isinstance(outcomes, list), outcomes
        return outcomes

    # --- as a person ---------------------------------------------------------------------------------------------

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def fill(self, field: str, text: str) -> None:
        """Put `text` into a field as a paste does: at once, with an input event."""
        script = "const [id, text] = arguments, field = document.getElementById(id); field.value = text;"
        self.run(f"{script} field.dispatchEvent(new Event('input', {{ bubbles: true }}));", field, text)

    def press_verify(self) -> dict[str, Any]:
        """Press the button; return the verdict in the DOM once there is one, or what the page complains about."""
        self.find("#verify").click()
        return self.verdict()

    def verdict(self) -> dict[str, Any]:
        waiting = """
        const done = arguments[arguments.length - 1], result = document.getElementById("result");
        const trouble = document.getElementById("trouble");
        (function look() {
          if (result.hidden && !trouble.textContent) return setTimeout(look, 5);
          const steps = [...result.querySelectorAll("[data-step]")].map((step) => step.dataset.state);
          done({ ...result.dataset, trouble: trouble.textContent, steps, text: result.innerText });
        })();
        """
        found: dict[str, Any] = self.wait(waiting)
        return found

    def drop(self, *files: tuple[str, bytes]) -> None:
        """Drop files onto the page and wait until it holds the one it takes."""
        script = """
        const [files, done] = arguments, transfer = new DataTransfer();
        for (const [name, data] of files) {
          transfer.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name));
        }
        for (const kind of ["dragenter", "dragover", "drop"]) {
          document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }
        setTimeout(done, 100);
        """
        self.wait(script, [[name, base64.b64encode(data).decode()] for name, data in files])

    # --- what it did ---------------------------------------------------------------------------------------------

    def requests(self) -> list[str]:
        """Every URL that a page requested since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def console(self) -> list[str]:
        """Everything the console shows since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
