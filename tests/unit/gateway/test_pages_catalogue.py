"""Every text stands in the catalogue, and the catalogue in every language."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po
from jinja2 import Environment

from services.gateway.pages.language import LANGUAGES, Reader, accepted_languages

GATEWAY = Path(__file__).parents[3] / "services/gateway"
METHODS = [("pages/**.py", "python"), ("templates/**.html", "jinja2")]
DRAFTS = sorted(set(LANGUAGES) - {"en"})


def _extracted() -> set[str]:
    keywords = {"_": None, "gettext": None, "gettext_noop": None, "ngettext": (1, 2)}
    found = extract_from_dir(str(GATEWAY), METHODS, keywords=keywords)
    return {message[0] if isinstance(message, tuple) else message for _, _, message, _, _ in found}


def _translated(language: str) -> dict[str, tuple[str, ...]]:
    source = GATEWAY / "locales" / language / "LC_MESSAGES" / "portal.po"
    catalogue = read_po(BytesIO(source.read_bytes()), locale=language)
    texts: dict[str, tuple[str, ...]] = {}
    for each in catalogue:
        if each.id and not each.fuzzy:
            words = each.string if isinstance(each.string, list | tuple) else [each.string]
            texts[each.id if isinstance(each.id, str) else each.id[0]] = tuple(str(word or "") for word in words)
    return texts


@pytest.mark.parametrize("language", DRAFTS)
def test_every_text_of_the_pages_is_translated(language: str) -> None:
    translated = {text for text, words in _translated(language).items() if all(words)}
    assert len(_extracted()) > 400
    assert _extracted() - translated == set()


@pytest.mark.parametrize("language", DRAFTS)
def test_the_catalogue_holds_no_text_that_no_page_shows(language: str) -> None:
    assert set(_translated(language)) - _extracted() == set()


@pytest.mark.parametrize("language", DRAFTS)
def test_a_translation_names_the_same_values_as_its_text(language: str) -> None:
    for text, forms in _translated(language).items():
        wanted = set(re.findall(r"%\(\w+\)s", text))
        for words in forms:
            # "One open invoice" may do without its number, and "every month" becomes "every %(num)s months".
            assert set(re.findall(r"%\(\w+\)s", words)) in ({*wanted}, wanted - {"%(num)s"}, wanted | {"%(num)s"}), text


class _Texts(HTMLParser):
    SPOKEN = ("aria-label", "alt", "title", "placeholder")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self._note(data)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in self.SPOKEN:
                self._note(value or "")

    def _note(self, text: str) -> None:
        if re.search(r"[^\W\d_]", text):
            self.found.append(text.strip())


@pytest.mark.parametrize("template", sorted((GATEWAY / "templates").glob("*.html")), ids=lambda path: path.name)
def test_no_text_of_a_template_is_outside_the_catalogue(template: Path) -> None:
    # A block's width is a class, the macro writes attributes alone: neither is read by anybody.
    source = re.sub(r"{% block width %}\w+{% endblock %}|{% macro described.*?endmacro %}", "", template.read_text())
    tokens = Environment(autoescape=True).lex(source)
    texts = _Texts()
    texts.feed("".join(value for _, kind, value in tokens if kind == "data"))
    assert texts.found == []


# --- the reader -----------------------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)


def test_the_person_beats_the_customer_beats_the_browser() -> None:
    assert Reader.choose(["de", "ar", "en"], None, NOW).language == "de"
    assert Reader.choose([None, "ar-EG", "en"], None, NOW).language == "ar"
    assert Reader.choose([None, None, "en-GB"], None, NOW).language == "en"


def test_a_language_without_a_catalogue_is_passed_over() -> None:
    assert Reader.choose(["fr", "de-AT"], None, NOW).language == "de"
    assert Reader.choose(["xx", "not a tag"], None, NOW).language == "en"


def test_today_is_where_the_reader_is() -> None:
    assert Reader.choose(["en"], "Asia/Tokyo", NOW).today.isoformat() == "2026-03-03"
    assert Reader.choose(["en"], "America/New_York", NOW).today.isoformat() == "2026-03-02"
    assert Reader.choose(["en"], "Nowhere/Atlantis", NOW).today.isoformat() == "2026-03-02"


def test_times_are_written_for_the_reader() -> None:
    german = Reader.choose(["de"], "Europe/Berlin", NOW)
    assert german.moment(NOW) == "02.03.2026, 23:30"
    assert german.clock(NOW - timedelta(hours=1)) == "22:30"
    assert german.ago(NOW - timedelta(minutes=5)) == "vor 5 Minuten"
    assert Reader.choose(["en-GB"], "Europe/London", NOW).moment(NOW) == "2 Mar 2026, 22:30"


def test_arabic_is_written_from_right_to_left_with_its_own_plurals() -> None:
    reader = Reader.choose(["ar"], None, NOW)
    assert reader.direction == "rtl"
    forms = {reader.ngettext("%(num)s open invoice", "%(num)s open invoices", count) for count in (1, 2, 5, 50)}
    assert len(forms) == 4


def test_the_most_wanted_language_comes_first_and_an_unwanted_one_never() -> None:
    assert accepted_languages("en;q=0.5, de-AT, ar;q=0.9, fr;q=0") == ["de-AT", "ar", "en"]
    assert accepted_languages("*, ;;, de") == ["de"]
