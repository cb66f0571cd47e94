"""One headless Chromium for this folder's tests. CI must have it; elsewhere they skip, loudly, where it is absent."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))  # the kit and the cases of the other verifier tests

from chromium import Browser, start


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with start(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Browser:
    """The page, freshly loaded."""
    browser.load()
    return browser
