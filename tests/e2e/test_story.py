"""The whole system as `make up` starts it: the story over HTTP and in a browser, with two of each service and with one."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from chassis.rpc import TIMEOUT
from local.portal_client import Portal
from local.story import Story
from tests.e2e import browser_story
from tests.e2e import whole_system as whole

pytestmark = pytest.mark.timeout(700)


@pytest.fixture(scope="module")
def system() -> Iterator[whole.WholeSystem]:
    """Two of each service."""
    with whole.whole_system(replicas=2) as running:
        yield running


def test_the_story_over_http_with_two_of_each_service(system: whole.WholeSystem) -> None:
    system.play(*Story(system.state).steps())


def test_the_story_in_a_browser_with_two_of_each_service(system: whole.WholeSystem, browser: Browser) -> None:
    browser_story.play(browser, system.state)


def test_pages_load_while_everything_else_is_stopped_and_a_form_keeps_what_was_typed(
    system: whole.WholeSystem, browser: Browser
) -> None:
    state = system.state
    page = browser.new_context(locale="en-GB").new_page()
    page.goto(f"{system.gateway}/sign-in")
    page.get_by_label("E-mail address").fill(state["credentials"]["admin"]["email"])
    page.get_by_label("Password").fill(state["credentials"]["admin"]["password"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    page.goto(f"{system.gateway}/console/customers/new")
    stopped = ("identity", "billing", "todos", "notifications", "rabbitmq")
    for name in stopped:
        system.stop_service(name)
    try:
        for path in ("/console", "/console/customers", "/console/settings"):
            assert page.request.get(f"{system.gateway}{path}").status == 200
        page.get_by_label("Name", exact=True).fill("Typed and kept")
        page.get_by_label("E-mail address").fill("kept@example.com")
        with page.expect_response(lambda response: response.request.method == "POST") as answered:
            page.get_by_role("button", name="Add customer").click()
        assert answered.value.status == 503
        assert (
            answered.value.request.timing["responseStart"] < 1000 * TIMEOUT / 2
        )  # no command that waits for an answer
        expect(page.get_by_role("alert").first).to_be_visible()
        assert page.get_by_label("Name", exact=True).input_value() == "Typed and kept"
    finally:
        for name in reversed(stopped):
            system.continue_service(name)


def test_a_second_start_keeps_the_data_and_plays_the_story_with_one_of_each(
    system: whole.WholeSystem, browser: Browser
) -> None:
    before = Portal(system.gateway).sign_in(**system.state["credentials"]["admin"]).everything("/customers")
    whole.stop(system)
    again = whole.launch(system.folder, replicas=1)
    try:
        # How long it takes is measured by bench (`second start`): on a busy machine it says nothing.
        whole.wait_ready(again)
        admin = Portal(again.gateway).sign_in(**again.state["credentials"]["admin"])
        assert {each["id"] for each in before} == {each["id"] for each in admin.everything("/customers")}
        again.play(*Story(again.state).steps())
        browser_story.play(browser, again.state)
    finally:
        whole.stop(again)
