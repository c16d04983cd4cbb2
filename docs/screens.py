"""`make screens`: pictures of the running system's pages, phone and desktop, light and dark, into docs/screens/.

Needs `make up` beside it. Only the two that the README shows are kept in the repository.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "screens"
SIZES = {"desktop": 1280, "phone": 390}
PORTAL = {"home": "/portal", "payments": "/portal/payments", "todos": "/portal/todos", "profile": "/portal/profile"}
CONSOLE = {"home": "/console", "customers": "/console/customers", "settings": "/console/settings"}


def main() -> int:
    """Take every picture; returns the exit code."""
    path = Path(os.environ.get("PORTAL_STATE", ROOT / ".local" / "state.json"))
    if not path.exists():
        print("Nothing is running here: start it with `make up`.", file=sys.stderr)
        return 1
    state = json.loads(path.read_text())
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for who, pages in (("customer", PORTAL), ("admin", CONSOLE)):
            for size, scheme, page in _signed_in(browser, state, who):
                for name, address in pages.items():
                    page.goto(state["urls"]["gateway"] + address)
                    _shoot(page, f"{who}-{name}-{size}-{scheme}")
                if who == "admin":
                    _one_customer(page, size, scheme)
                page.context.close()
        browser.close()
    return 0


def _signed_in(browser: Browser, state: dict[str, Any], who: str) -> Iterator[tuple[str, str, Page]]:
    for size, width in SIZES.items():
        for scheme in ("light", "dark"):
            view = {"width": width, "height": 850}
            context = browser.new_context(viewport=view, color_scheme=scheme, locale="en-GB")  # type: ignore[arg-type]  # a TypedDict and a Literal, as the loop gives them
            page = context.new_page()
            page.goto(state["urls"]["gateway"] + "/sign-in")
            _shoot(page, f"visitor-sign-in-{size}-{scheme}")
            page.get_by_label("E-mail address").fill(state["credentials"][who]["email"])
            page.get_by_label("Password").fill(state["credentials"][who]["password"])
            page.get_by_role("button", name="Sign in").click()
            yield size, scheme, page


def _one_customer(page: Page, size: str, scheme: str) -> None:
    page.goto(page.url.split("/console")[0] + "/console/customers")
    page.get_by_role("main").get_by_role("link", name="Ahlers").first.click()
    page.wait_for_load_state()
    base = page.url.split("?")[0]
    for name in ("", "/payments", "/todos", "/activity", "/payment-links/new"):
        page.goto(base + name)
        _shoot(page, f"admin-customer{name.replace('/', '-')}-{size}-{scheme}")


def _shoot(page: Page, name: str) -> None:
    page.screenshot(path=FOLDER / f"{name}.png", full_page=True)


if __name__ == "__main__":
    sys.exit(main())
