"""What a customer's payment methods at Stripe mean here: which are the same card, which is charged, when one expires."""

from calendar import monthrange
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

EXPIRING = timedelta(days=30)
"""How long before a card's last day its customer is told."""


@dataclass(frozen=True)
class Seen:
    """A payment method as Stripe has it. `created` is in Unix seconds; `fingerprint` is the same for the same card."""

    stripe_id: str
    kind: str
    created: int
    fingerprint: str | None = None
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    name: str | None = None
    email: str | None = None
    country: str | None = None


@dataclass(frozen=True)
class Wallet:
    """A customer's payment methods at one moment, and the one that Stripe calls the default."""

    default: str | None
    methods: tuple[Seen, ...]

    def held(self) -> tuple["Held", ...]:
        """The methods with each card once, the one that was given first at the start."""
        groups: dict[str, list[Seen]] = {}
        for each in sorted(self.methods, key=lambda seen: (seen.created, seen.stripe_id)):
            groups.setdefault(each.fingerprint or each.stripe_id, []).append(each)
        return tuple(Held(group[-1], frozenset(each.stripe_id for each in group)) for group in groups.values())

    def same_as(self, stripe_id: str) -> frozenset[str]:
        """All of Stripe's objects for the card that one of them is for; none when it is not there."""
        return next((held.ids for held in self.held() if stripe_id in held.ids), frozenset())


@dataclass(frozen=True)
class Held:
    """One card or account: the newest of Stripe's objects for it, which knows its present expiry, and the ids of all."""

    seen: Seen
    ids: frozenset[str]


@dataclass(frozen=True)
class Candidate:
    """One that might be the default. `fresh`: the customer has just given it."""

    held: Held
    works: bool
    fresh: bool
    is_default: bool


def expires_on(exp_month: int | None, exp_year: int | None) -> date | None:
    """The last day on which a card is valid; None for what does not expire."""
    if exp_month is None or exp_year is None:
        return None
    return date(exp_year, exp_month, monthrange(exp_year, exp_month)[1])


def works(before: bool | None, *, renewed: bool, last_day: date | None, today: date) -> bool:
    """Whether a method works: `before` is what we knew (None: nothing), `renewed` whether it has changed since.

    A card over its last day does not; one that was declined for good does again once its bank or its owner renewed it.
    """
    if last_day is not None and last_day < today:
        return False
    return before is not False or renewed


def choose_default(candidates: Sequence[Candidate], at_stripe: str | None) -> Candidate | None:
    """The method that is charged from now on; None when there is none.

    Stripe's default, when it works. Else ours. When neither does, one that has just been given: nobody gives a card beside
    a dead one for nothing. An older card is never charged without its owner's word, unless there is no default at all.
    """
    stripes = [each for each in candidates if at_stripe in each.held.ids]
    ours = [each for each in candidates if each.is_default]
    fresh = sorted((each for each in candidates if each.fresh), key=_age)
    newest = sorted(candidates, key=_age)
    wishes = [*_working(stripes), *_working(ours), *_working(fresh)] or [*stripes, *ours, *_working(newest), *newest]
    return wishes[0] if wishes else None


def _working(candidates: Iterable[Candidate]) -> list[Candidate]:
    return [each for each in candidates if each.works]


def _age(candidate: Candidate) -> int:
    return -candidate.held.seen.created
