"""What axe says of a page as a person has it open."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def violations(page: Page, *rules: str) -> list[str]:
    """What axe finds on the page as it is now; all its rules, or the given ones."""
    options = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    if page.evaluate("typeof axe") == "undefined":
        Axe().run(page, options={"runOnly": {"type": "rule", "values": ["html-has-lang"]}})  # brings axe into the page
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]]
