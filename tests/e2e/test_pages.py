"""Every page in a real browser: accessible in light and dark, on the smallest phone, by keyboard, without JavaScript.

Only PostgreSQL and the gateway run: that the pages load at all shows that they need nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests import builders as make
from tests import parts
from tests.e2e.looks import violations
from tests.e2e.seed import Seed, event
from tests.e2e.seeded_gateway import World, bring, running
from tests.e2e.whole_system import PATIENT

pytestmark = pytest.mark.timeout(600)


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
    context.set_default_timeout(PATIENT)
    if who in world.sessions:
        context.add_cookies([{"name": "portal", "value": world.sessions[who], "url": world.url}])
    return context


def _wider_than_the_screen(page: Page) -> list[str]:
    return page.evaluate(  # type: ignore[no-any-return]  # what the script returns
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
           [`${document.documentElement.scrollWidth} pixels wide`, ...[...document.querySelectorAll('body *')]
           .filter(e => e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1)
           .slice(0, 3).map(e => e.outerHTML.slice(0, 160))]"""
    )


def _survey(
    browser: Browser, world: World, *, desktop: bool = False, **options: object
) -> dict[str, dict[str, list[str]]]:
    """What is wrong with each page, by what was looked at. One visit each: sizes and colours change without a reload."""
    found: dict[str, dict[str, list[str]]] = {"phone": {}, "desktop": {}, "dark": {}, "sideways": {}, "direction": {}}
    for who, paths in world.pages.items():
        context = _as(browser, world, who, width=320, color_scheme="light", reduced_motion="reduce", **options)
        context.route("**/static/live.js*", lambda route: route.abort())  # no page may change while it is looked at
        page = context.new_page()
        for path in paths:
            page.set_viewport_size({"width": 320, "height": 800})
            page.emulate_media(color_scheme="light")
            page.goto(world.url + path, wait_until="load")
            name = f"{who} {path}"
            found["direction"].setdefault(str(page.locator("html").get_attribute("dir")), []).append(name)
            found["sideways"][name] = _wider_than_the_screen(page)
            found["phone"][name] = violations(page)
            page.emulate_media(color_scheme="dark")
            found["dark"][name] = violations(page, "color-contrast", "link-in-text-block")
            if desktop:
                page.set_viewport_size({"width": 1280, "height": 800})
                found["desktop"][name] = violations(page)
        context.close()
    return found


@pytest.fixture(scope="module")
def survey(browser: Browser, world: World) -> dict[str, dict[str, list[str]]]:
    return _survey(browser, world, desktop=True)


@pytest.fixture(scope="module")
def empty_survey(browser: Browser, empty_world: World) -> dict[str, dict[str, list[str]]]:
    return _survey(browser, empty_world)


@pytest.fixture(scope="module")
def arabic_survey(browser: Browser, arabic_world: World) -> dict[str, dict[str, list[str]]]:
    return _survey(browser, arabic_world, locale="ar")


def _wrong(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: wrong for name, wrong in found.items() if wrong}


# --- accessibility, and the smallest phone --------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["phone", "desktop", "dark"])
def test_no_page_in_any_state_has_an_accessibility_violation(
    survey: dict[str, dict[str, list[str]]], look: str
) -> None:
    assert len(survey[look]) > 60
    assert _wrong(survey[look]) == {}


@pytest.mark.parametrize("look", ["phone", "dark"])
def test_no_empty_page_has_an_accessibility_violation(empty_survey: dict[str, dict[str, list[str]]], look: str) -> None:
    assert _wrong(empty_survey[look]) == {}


@pytest.mark.parametrize("look", ["phone", "dark"])
def test_no_arabic_page_in_a_glaring_brand_colour_has_an_accessibility_violation(
    arabic_survey: dict[str, dict[str, list[str]]], look: str
) -> None:
    assert _wrong(arabic_survey[look]) == {}


def test_nothing_scrolls_sideways_at_320_pixels(survey: dict[str, dict[str, list[str]]]) -> None:
    assert _wrong(survey["sideways"]) == {}


def test_long_names_from_right_to_left_do_not_scroll_sideways_at_320_pixels(
    arabic_survey: dict[str, dict[str, list[str]]],
) -> None:
    assert set(arabic_survey["direction"]) == {"rtl"}
    assert _wrong(arabic_survey["sideways"]) == {}


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
           .filter(e => !(e.type === 'radio' && !e.checked))  // a group of them is one stop; arrows choose within it
           .filter(e => e.checkVisibility() && e.tabIndex >= 0 && !e.closest('details:not([open]) > :not(summary)')).length"""
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


def test_the_account_menu_opens_and_signs_out_by_keyboard(browser: Browser, postgres_url: str) -> None:
    with parts.fresh_database(postgres_url) as url, running(url, full=False) as own:
        page = _as(browser, own, "contact").new_page()
        page.goto(f"{own.url}/portal")
        page.locator("summary[aria-label='Account menu']").focus()
        page.keyboard.press("Enter")
        out = page.get_by_role("button", name="Sign out")
        out.focus()
        expect(out).to_be_focused()
        page.keyboard.press("Enter")
        expect(page).to_have_url(f"{own.url}/sign-in?done=signed-out")
        page.goto(f"{own.url}/portal")
        assert page.url == f"{own.url}/sign-in?next=/portal"


# --- without JavaScript, and without the other services -------------------------------------------------------------


def test_every_page_loads_without_javascript_and_without_any_other_service(browser: Browser, world: World) -> None:
    backwards = "/portal/payments/statement?from=2026-01-31&to=2026-01-01"
    expected = {"/nowhere": 404, "/portal/nowhere": 404, backwards: 422}
    seen = {}
    for who, paths in world.pages.items():
        page = _as(browser, world, who, java_script_enabled=False).new_page()
        for path in paths:
            answer = page.goto(world.url + path)
            assert answer is not None
            dead = re.search(r"/(accepted|expired|lapsed|newer|renewed|revoked|shut|superseded|unknown|replaced)", path)
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
    assert "nothing has been changed" in page.locator("#problem").inner_text()
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


def test_enter_in_a_payment_link_saves_it_instead_of_adding_a_line(browser: Browser, world: World) -> None:
    page = _as(browser, world, "member", java_script_enabled=False).new_page()
    page.goto(f"{world.url}/console/customers/{world.customer.id}/payment-links/new")
    page.get_by_label("Description").fill("Workshop")
    page.get_by_label("Unit price").fill("1,250.00")
    page.get_by_label("Unit price").press("Enter")
    assert "nothing has been changed" in page.locator("#problem").inner_text()  # it was sent, and nobody took it
    assert page.get_by_label("Description").count() == 1


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


# --- live -----------------------------------------------------------------------------------------------------------


def test_open_pages_say_paid_without_a_reload_and_typing_is_never_interrupted(
    browser: Browser, postgres_url: str
) -> None:
    seed = Seed()
    with parts.fresh_database(postgres_url) as url, running(url, seed) as own:
        invoice = own.open_invoice
        contact, member, visitor = (_as(browser, own, who).new_page() for who in ("contact", "member", "visitor"))
        typing = contact.context.new_page()
        contact.goto(f"{own.url}/portal/payments/{invoice.id}")
        member.goto(f"{own.url}/console/invoices/{invoice.id}")
        visitor.goto(f"{own.url}/pay/{'open' * 10}")
        typing.goto(f"{own.url}/portal/todos")
        typing.get_by_label("What is to be done?").fill("Half a sent")
        for page in (contact, member, visitor):
            page.evaluate("window.sameDocument = true")
            page.wait_for_timeout(700)  # the stream is open, and the page has fetched itself once
        bring(own.database, event(make.paid(invoice), "paid"), event(make.todo(own.customer, "Brand new"), "assigned"))
        for page in (contact, member, visitor):
            page.locator(".badge", has_text="Paid").first.wait_for()
            assert page.evaluate("window.sameDocument") is True
        typing.wait_for_timeout(1000)
        assert typing.get_by_label("What is to be done?").input_value() == "Half a sent"
        assert typing.get_by_text("Brand new").count() == 0
        typing.get_by_label("What is to be done?").fill("")
        typing.get_by_role("heading", name="To-dos").click()
        typing.get_by_text("Brand new", exact=True).wait_for()


def test_what_was_refused_stays_to_be_read_while_the_page_hears_of_changes(browser: Browser, postgres_url: str) -> None:
    seed = Seed()
    with parts.fresh_database(postgres_url) as url, running(url, seed) as own:
        invoice = seed.made["in_parts"]
        for who, path in (("contact", f"/portal/payments/{invoice.id}"), ("visitor", f"/pay/{'parts' * 8}")):
            page = _as(browser, own, who).new_page()
            page.goto(own.url + path)
            page.get_by_label("Amount to pay").fill("a lot")
            page.get_by_role("button", name="Pay", exact=True).click()
            page.get_by_text("Please enter a number").first.wait_for()
            page.wait_for_timeout(700)  # the stream is open
            bring(own.database, event(make.todo(own.customer, f"Seen by {who}"), "assigned"))
            page.wait_for_timeout(1500)
            assert page.get_by_text("Please enter a number").count() == 2
            assert page.get_by_label("Amount to pay").input_value() == "a lot"
