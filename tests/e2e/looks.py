"""What axe says of a page as a person has it open."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_RUN = """async options => (await axe.run(document, options)).violations.flatMap(
    each => each.nodes.map(node => `${each.id}: ${node.html.slice(0, 160)}`))"""


def violations(page: Page, *rules: str) -> list[str]:
    """What axe finds on the page as it is now; all its rules, or the given ones."""
    options: dict[str, object] = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    if page.evaluate("typeof axe") == "undefined":
        Axe().run(page, options={"runOnly": {"type": "rule", "values": ["html-has-lang"]}})  # brings axe into the page
    # What is in order is not described: that alone took three quarters of the time.
    found: list[str] = page.evaluate(_RUN, options | {"resultTypes": ["violations"]})
    return found
