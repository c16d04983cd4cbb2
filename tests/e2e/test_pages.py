"""Every page in a real browser: accessible in light and dark, on the smallest phone, by keyboard, without JavaScript.

Only PostgreSQL and the gateway run: that the pages load at all shows that they need nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests import parts
from tests.e2e.seeded_gateway import Seed, World, running

pytestmark = pytest.mark.timeout(600)

CHROMIUM = "/usr/bin/chromium"
_HASH = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def world(module_database: str) -> Iterator[World]:
    with running(module_database) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def empty_world(postgres_url: str) -> Iterator[World]:
    with parts.fresh_database(postgres_url) as url, running(url, Seed(), full=False) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def arabic_world(postgres_url: str) -> Iterator[World]:
    with parts.fresh_database(postgres_url) as url, running(url, Seed(locale="ar", long=True)) as gateway:
        yield gateway


def _as(browser: Browser, world: World, who: str, *, width: int = 1280, **options: object) -> BrowserContext:
    context = browser.new_context(viewport={"width": width, "height": 800}, **options)  # type: ignore[arg-type]  # its own options
    context.set_default_timeout(15_000)
    if who in world.sessions:
        context.add_cookies([{"name": "portal", "value": world.sessions[who], "url": world.url}])
    return context


def _each(browser: Browser, world: World, **options: object) -> Iterator[tuple[str, Page]]:
    """Every page of the world, signed in as whoever may see it."""
    for who, paths in world.pages.items():
        context = _as(browser, world, who, **options)  # type: ignore[arg-type]  # handed on
        page = context.new_page()
        for path in paths:
            page.goto(world.url + path, wait_until="load")
            yield f"{who} {path}", page
        context.close()


def _violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]]


def _wider_than_the_screen(page: Page) -> list[str]:
    return page.evaluate(  # type: ignore[no-any-return]  # what the script returns
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
           [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1)
           .slice(0, 3).map(e => e.outerHTML.slice(0, 160))"""
    )


# --- accessibility --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_in_any_state_has_an_accessibility_violation(browser: Browser, world: World, scheme: str) -> None:
    found = {name: wrong for name, page in _each(browser, world, color_scheme=scheme) if (wrong := _violations(page))}
    assert found == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_empty_pages_have_no_accessibility_violation_either(browser: Browser, empty_world: World, scheme: str) -> None:
    found = {
        name: wrong
        for name, page in _each(browser, empty_world, color_scheme=scheme, width=360)
        if (wrong := _violations(page))
    }
    assert found == {}


def test_arabic_pages_with_a_glaring_brand_colour_have_no_accessibility_violation(
    browser: Browser, arabic_world: World
) -> None:
    found = {
        name: wrong
        for name, page in _each(browser, arabic_world, locale="ar", width=360)
        if (wrong := _violations(page))
    }
    assert found == {}


# --- the smallest phone ---------------------------------------------------------------------------------------------


def test_nothing_scrolls_sideways_at_320_pixels(browser: Browser, world: World) -> None:
    found = {name: wide for name, page in _each(browser, world, width=320) if (wide := _wider_than_the_screen(page))}
    assert found == {}


def test_long_names_and_right_to_left_do_not_scroll_sideways_at_320_pixels(
    browser: Browser, arabic_world: World
) -> None:
    found = {}
    for name, page in _each(browser, arabic_world, width=320, locale="ar"):
        assert page.locator("html").get_attribute("dir") == "rtl", name
        if wide := _wider_than_the_screen(page):
            found[name] = wide
    assert found == {}


# --- keyboard -------------------------------------------------------------------------------------------------------


def test_the_first_stop_of_the_keyboard_skips_to_the_content(browser: Browser, world: World) -> None:
    page = _as(browser, world, "contact").new_page()
    page.goto(f"{world.url}/portal")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_everything_to_press_or_fill_is_reached_by_tab_and_shows_its_focus(browser: Browser, world: World) -> None:
    page = _as(browser, world, "member", java_script_enabled=True).new_page()
    page.goto(f"{world.url}/console/customers/{world.customer.id}/payment-links/new")
    expected = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')]
           .filter(e => e.checkVisibility() && !e.closest('details:not([open]) > :not(summary)')).length"""
    )
    reached = set()
    for _ in range(expected * 4):
        page.keyboard.press("Tab")
        place, outline = page.evaluate(
            """() => { const e = document.activeElement; return [
               [...document.querySelectorAll('*')].indexOf(e),
               e === document.body ? 'none' : getComputedStyle(e).outlineStyle] }"""
        )
        if outline == "none":
            continue
        reached.add(place)
    assert len(reached) == expected


def test_the_account_menu_opens_and_signs_out_by_keyboard(browser: Browser, world: World, postgres_url: str) -> None:
    with parts.fresh_database(postgres_url) as url, running(url, full=False) as own:
        page = _as(browser, own, "contact").new_page()
        page.goto(f"{own.url}/portal")
        page.locator("summary[aria-label='Account menu']").focus()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Sign out").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/sign-in?done=signed-out")
        page.goto(f"{own.url}/portal")
        assert page.url == f"{own.url}/sign-in?next=/portal"


# --- without JavaScript, and without the other services -------------------------------------------------------------


def test_every_page_loads_without_javascript_and_without_any_other_service(browser: Browser, world: World) -> None:
    expected = {"/nowhere": 404, "/portal/nowhere": 404}
    seen = {}
    for who, paths in world.pages.items():
        page = _as(browser, world, who, java_script_enabled=False).new_page()
        for path in paths:
            answer = page.goto(world.url + path)
            assert answer is not None
            dead = re.search(r"/(accepted|expired|revoked|superseded|unknown|replaced)", path)
            wanted = expected.get(path, (404 if "/pay/unknown" in path else 410) if dead else 200)
            if answer.status != wanted or page.locator("h1").count() != 1:
                seen[path] = answer.status
    assert seen == {}


def test_what_was_typed_stays_when_nothing_could_be_taken(browser: Browser, world: World) -> None:
    page = _as(browser, world, "contact", java_script_enabled=False).new_page()
    page.goto(f"{world.url}/portal/todos")
    before = page.locator(".rows > li").count()
    page.get_by_label("What is to be done?").fill("Call the bank")
    page.get_by_label("Notes").fill("Before noon\nif possible")
    page.get_by_label("Northwind Studio may see it").check()
    page.get_by_role("button", name="Add", exact=True).click()
    assert "Nothing has been changed" in page.locator("#problem").inner_text()
    assert page.get_by_label("What is to be done?").input_value() == "Call the bank"
    assert page.get_by_label("Notes").input_value() == "Before noon\nif possible"
    assert page.get_by_label("Northwind Studio may see it").is_checked()
    assert page.locator(".rows > li").count() == before


def test_a_line_is_added_to_a_payment_link_without_javascript_and_keeps_the_others(
    browser: Browser, world: World
) -> None:
    page = _as(browser, world, "member", java_script_enabled=False).new_page()
    page.goto(f"{world.url}/console/customers/{world.customer.id}/payment-links/new")
    page.get_by_label("Description").fill("Workshop")
    page.get_by_label("Unit price").fill("1,250.00")
    page.get_by_role("button", name="Add a line").click()
    assert page.get_by_label("Description").count() == 2
    assert page.get_by_label("Description").first.input_value() == "Workshop"
    assert page.get_by_label("Unit price").first.input_value() == "1,250.00"
    page.get_by_label("Description").last.fill("Travel")
    page.get_by_label("Unit price").last.fill("12.345")
    page.get_by_role("button", name="Save Payment Link", exact=True).click()
    wrong = page.locator("[aria-invalid=true]")
    assert [wrong.nth(number).get_attribute("name") for number in range(wrong.count())] == ["lines.1.unit_amount"]
    assert page.locator("#lines-1-unit-amount-error").inner_text() == "EUR has no fractions this small."


def test_the_payment_page_shows_one_invoice_and_nothing_else_of_its_customer(browser: Browser, world: World) -> None:
    page = _as(browser, world, "visitor", java_script_enabled=False).new_page()
    page.goto(f"{world.url}/pay/{'open' * 10}")
    text = page.locator("body").inner_text()
    assert "INV-101" in text
    for other in ("INV-98", "INV-97", "sam@okafor", "Fleet Street", "GB123456789", "Send the signed contract"):
        assert other not in page.content(), other


def test_a_dead_payment_link_shows_nothing_of_its_invoice_and_says_whom_to_ask(browser: Browser, world: World) -> None:
    page = _as(browser, world, "visitor", java_script_enabled=False).new_page()
    for why in ("revoked", "expired", "replaced"):
        page.goto(f"{world.url}/pay/{why * 6}")
        assert "10.00" not in page.content()
        assert "Design work" not in page.content()
        assert "help@northwind.example" in page.locator("main").inner_text()


def test_the_address_that_a_payment_leads_back_to_proves_nothing(browser: Browser, world: World) -> None:
    page = _as(browser, world, "visitor", java_script_enabled=False).new_page()
    page.goto(f"{world.url}/pay/{'open' * 10}?paid=confirming")
    assert "Your payment is being confirmed." in page.locator("main").inner_text()
    assert page.locator(".badge").first.inner_text() == "Open"
    assert "Paid, thank you." not in page.content()


def test_what_people_type_never_becomes_html(browser: Browser, postgres_url: str) -> None:
    seed = Seed()
    seed.merchant = seed.merchant.model_copy(update={"name": "<img src=x onerror=alert(1)>"})
    seed.tell_as(seed.merchant, "changed")
    with parts.fresh_database(postgres_url) as url, running(url, seed) as own:
        page = _as(browser, own, "contact", java_script_enabled=False).new_page()
        page.goto(f"{own.url}/portal")
        assert page.locator(".merchant-name").inner_text() == "<img src=x onerror=alert(1)>"
        assert page.locator("img[src=x]").count() == 0
