"""Who reads a page: their language's catalogue, their locale's way of writing, their time zone."""

from __future__ import annotations

import datetime as dt
import gettext
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time, format_timedelta, get_datetime_format
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

from . import amounts

LANGUAGES = {"en": "English", "de": "Deutsch", "ar": "العربية"}
"""The catalogues that exist, each named in its own language. English is the source."""
NOTHING = "\N{EN DASH}"
"""What stands where there is nothing to show."""
LOCALES = Path(__file__).parent.parent / "locales"


def gettext_noop(message: str) -> str:
    """Marks a text for the catalogue where it stands; it is translated where it is shown."""
    return message


Style = Literal["short", "medium", "long", "full"]


@lru_cache
def catalogue(language: str) -> gettext.NullTranslations:
    """The compiled catalogue of one of `LANGUAGES`. Compiled here, so that no `.mo` has to be kept beside its source."""
    source = LOCALES / language / "LC_MESSAGES" / "portal.po"
    if not source.exists():
        return gettext.NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, read_po(BytesIO(source.read_bytes()), locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _locale(tag: str) -> Locale | None:
    """The locale of a BCP 47 tag if its language has a catalogue: an English page does not write dates in French."""
    try:
        locale = Locale.parse(tag.replace("_", "-"), sep="-")
    except (ValueError, UnknownLocaleError):
        language = re.split("[-_]", tag)[0].lower()
        return Locale.parse(language) if language in LANGUAGES else None
    return locale if locale.language in LANGUAGES else None


def accepted_languages(header: str) -> list[str]:
    """The tags of an Accept-Language header, most wanted first (RFC 9110, 12.5.4). Broken parts are left out."""
    wanted = []
    for part in header.split(",")[:20]:
        found = re.fullmatch(r"\s*([A-Za-z0-9-]{1,35})\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?))?\s*", part)
        if found and float(found[2] or 1) > 0:
            wanted.append((-float(found[2] or 1), found[1]))
    return [tag for _, tag in sorted(wanted, key=lambda each: each[0])]


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The IANA time zone, or UTC for a name this machine does not know."""
    return ZoneInfo(name) if name in available_timezones() else ZoneInfo("UTC")


@dataclass(frozen=True)
class Reader:
    """Writes texts, amounts and times for one person. `now` is the moment of the page, aware."""

    locale: Locale
    zone: ZoneInfo
    now: dt.datetime

    @classmethod
    def choose(cls, tags: Iterable[str | None], time_zone: str | None, now: dt.datetime) -> Reader:
        """The reader of the first tag that we have a catalogue for, else of English."""
        found = next((locale for tag in tags if tag and (locale := _locale(tag))), None)
        return cls(found or Locale.parse("en"), zone(time_zone or "UTC"), now)

    @property
    def language(self) -> str:
        """A key of `LANGUAGES`."""
        return str(self.locale.language)

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        return str(self.locale.text_direction)

    @property
    def today(self) -> dt.date:
        """The date where the reader is."""
        return self.now.astimezone(self.zone).date()

    def gettext(self, message: str) -> str:
        """The text in the reader's language."""
        return catalogue(self.language).gettext(message)

    def ngettext(self, singular: str, plural: str, count: int) -> str:
        """The text for `count` things in the reader's language."""
        return catalogue(self.language).ngettext(singular, plural, count)

    def money(self, amount: int, currency: str) -> str:
        """Minor units as an amount of money."""
        return amounts.money(amount, currency, self.locale)

    def date(self, day: dt.date, style: Style = "medium") -> str:
        """A calendar date. `style` is Babel's: short, medium, long, full."""
        return format_date(day, style, locale=self.locale)

    def day_month(self, day: dt.date) -> str:
        """A date of this year in few letters, for a chart."""
        return str(format_skeleton("MMMd", day, locale=self.locale))

    def moment(self, moment: dt.datetime) -> str:
        """A date and time where the reader is, to the minute."""
        joined = str(get_datetime_format("medium", locale=self.locale)).replace("'", "")
        day = self.date(moment.astimezone(self.zone).date())
        return joined.replace("{1}", day).replace("{0}", self._time(moment))

    def _time(self, moment: dt.datetime) -> str:
        # CLDR puts a narrow space before AM that some fonts lack.
        return format_time(moment, "short", tzinfo=self.zone, locale=self.locale).replace("\u202f", "\u00a0")

    def clock(self, moment: dt.datetime) -> str:
        """The time of day if it is today where the reader is, else date and time."""
        local = moment.astimezone(self.zone)
        if local.date() != self.today:
            return self.moment(moment)
        return self._time(moment)

    def ago(self, moment: dt.datetime) -> str:
        """How long ago, up to a week; after that the date."""
        past = self.now - moment
        if past > timedelta(days=7):
            return self.date(moment.astimezone(self.zone).date())
        if past < timedelta(minutes=1):
            return self.gettext("just now")
        return str(format_timedelta(-past, add_direction=True, threshold=0.99, locale=self.locale))

    def decimal(self, number: object) -> str:
        """A quantity."""
        return format_decimal(str(number), locale=self.locale, decimal_quantization=False)

    def percent(self, number: object) -> str:
        """A rate given in percent."""
        return format_percent(amounts.hundredth(number), locale=self.locale, decimal_quantization=False)
