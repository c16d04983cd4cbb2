"""What the browser's tests share: Chromium, and the whole system as `make up` starts it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.e2e.whole_system import PATIENT, WholeSystem, whole_system

# Playwright's own five seconds are for a machine that does nothing else.
expect.set_options(timeout=PATIENT)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For a module, not for the session: an event loop runs in this thread as long as it is there."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def system() -> Iterator[WholeSystem]:
    """One of each service, for this module alone."""
    with whole_system() as running:
        yield running
