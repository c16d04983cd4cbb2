"""What an action would change, said before it is confirmed: the action itself is tried, and the charges compared."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import assert_never

from services.billing.domain.plans import Instalment, Rest
from services.billing.domain.subscriptions.changes import cancel, pause, resume, undo_cancel
from services.billing.domain.subscriptions.schedule import accept, next_charge, projected, turned, upcoming
from services.billing.domain.subscriptions.terms import Action, By, Charge, Standing, Terms, When

LOOKS_AHEAD = timedelta(days=731)
"""How far the charges of a recurring subscription are compared; its next one always is, and all of a plan's."""
_EVERY_DAY = 1100


@dataclass(frozen=True)
class Moved:
    """An instalment on another day. `new` None: not before the plan is resumed; `old` is its day before the pause."""

    old: Charge
    new: Charge | None


@dataclass(frozen=True)
class Preview:
    """Which charges disappear, move or come, and how the subscription would stand.

    A charge that stays is in none of them, though its `number` may change: numbers are given when invoices are made.
    """

    disappear: tuple[Charge, ...]
    move: tuple[Moved, ...]
    come: tuple[Charge, ...]
    standing: Standing


def preview(
    terms: Terms,
    standing: Standing,
    action: Action,
    today: date,
    *,
    by: By,
    when: When = "now",
    until: date | None = None,
    rest: Rest | None = None,
) -> Preview:
    """What `action` would do today. Raises ValueError when it cannot be done: ask `why_not` first."""
    now = turned(terms, standing, today)
    after = _done(terms, now, action, today, by, when, until, rest)
    if terms.kind == "payment_plan":
        return _of_plan(terms, now, after)
    horizon = today + LOOKS_AHEAD
    for each in (now, after):
        first = next_charge(terms, each)
        horizon = max(horizon, first.on) if first else horizon
    old = {charge.on: charge for charge in upcoming(terms, now, _EVERY_DAY, horizon)}
    new = {charge.on: charge for charge in upcoming(terms, after, _EVERY_DAY, horizon)}
    gone = tuple(charge for on, charge in old.items() if on not in new)
    return Preview(gone, (), tuple(charge for on, charge in new.items() if on not in old), after)


def _done(
    terms: Terms, now: Standing, action: Action, today: date, by: By, when: When, until: date | None, rest: Rest | None
) -> Standing:
    match action:
        case "accept":
            return accept(terms, now, today)
        case "pause":
            return pause(terms, now, today, until, when=when, by=by)
        case "resume":
            return resume(terms, now, today)
        case "cancel":
            return cancel(terms, now, today, when, rest, by=by)
        case "undo_cancel":
            return undo_cancel(terms, now, today)
        case _:
            assert_never(action)


def _of_plan(terms: Terms, now: Standing, after: Standing) -> Preview:
    """Instalments are told apart by number and amount: the one sum of a rest is not the instalment it begins with."""
    old, new = _open_instalments(terms, now), _open_instalments(terms, after)
    gone, moved = [], []
    for key, instalment in old.items():
        charge = _charge(now, key, instalment.due_on or _day_before_pause(now, key))
        if key not in new:
            gone.append(charge)
        elif new[key].due_on != instalment.due_on:
            day = new[key].due_on
            moved.append(Moved(charge, _charge(after, key, day) if day else None))
    come = [_charge(after, key, each.due_on) for key, each in new.items() if key not in old and each.due_on]
    waiting = [key for key, each in new.items() if key not in old and each.due_on is None]
    moved += [Moved(_charge(after, key, _day_before_pause(after, key)), None) for key in waiting]
    return Preview(tuple(gone), tuple(moved), tuple(come), after)


def _open_instalments(terms: Terms, standing: Standing) -> dict[tuple[int, int], Instalment]:
    """By number and amount."""
    if standing.anchor_on is None:
        return {}
    return {(each.number, each.amount): each for each in projected(terms, standing)[standing.made :]}


def _day_before_pause(standing: Standing, key: tuple[int, int]) -> date:
    """An instalment that waits is shown with the day it had before the pause."""
    day = next(each.due_on for each in standing.instalments if each.number == key[0])
    assert day is not None, "An accepted plan has days."
    return day


def _charge(standing: Standing, key: tuple[int, int], on: date) -> Charge:
    number, amount = key
    place = next(index for index, each in enumerate(standing.instalments, 1) if each.number == number)
    return Charge(place, on, amount, instalment=number)
