"""What may be invoiced, and what may happen to an invoice next."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Literal, assert_never

from pydantic import JsonValue

from contracts.message import FieldError
from services.billing.domain import currencies
from services.billing.domain.lines import HIGHEST_TOTAL, Line, Totals, line_amount

Status = Literal["draft", "open", "paid", "void", "uncollectible"]

_EARLIEST_DUE = date(2000, 1, 1)
_YEARS_AHEAD = 10


@dataclass(frozen=True)
class Balance:
    """An invoice's money, in minor units of `currency`."""

    status: Status
    currency: str
    total: int
    paid: int = 0
    processing: int = 0
    refunded: int = 0
    """Given back, or on its way back; not what came on top of the total."""
    disputed: int = 0
    """What a cardholder's bank has taken back, or holds."""

    def __post_init__(self) -> None:
        """Refuse what cannot be: an invoice that owes us more than nothing was paid twice, or less than nothing."""
        if not (0 <= self.paid <= self.total and self.processing >= 0):
            raise ValueError(
                f"An invoice over {self.total} cannot have {self.paid} paid, {self.processing} processing."
            )

    @property
    def due(self) -> int:
        """Total less what is paid."""
        return self.total - self.paid

    @property
    def payable_now(self) -> int:
        """Total less paid less processing, and nothing unless it is open."""
        return max(self.due - self.processing, 0) if self.status == "open" else 0


def line_problems(lines: Sequence[Line]) -> list[FieldError]:
    """What is wrong with single lines, each named by its place: `lines.0.quantity`."""
    found = []
    for place, line in enumerate(lines):
        at = f"lines.{place}"
        if line.quantity <= 0:
            found.append(_error(f"{at}.quantity", "quantity-too-small", "The quantity must be above 0."))
        elif line_amount(line) > HIGHEST_TOTAL:
            found.append(_error(f"{at}.unit_amount", "line-too-large", "This line adds up to too much."))
        if not 0 <= line.discount_percent <= 100:
            message = "The discount must be between 0 and 100 percent."
            found.append(_error(f"{at}.discount_percent", "discount-out-of-range", message))
        if not 0 <= line.tax_rate <= 100:
            message = "The tax rate must be between 0 and 100 percent."
            found.append(_error(f"{at}.tax_rate", "tax-rate-out-of-range", message))
        if line.reverse_charge and line.tax_rate:
            message = "A line under reverse charge has no tax: the customer owes it."
            found.append(_error(f"{at}.tax_rate", "reverse-charge-taxed", message))
    if not lines:
        found.append(_error("lines", "no-lines", "There must be at least one line."))
    return found


def invoice_problems(currency: str, totals: Totals, due_on: date, today: date) -> list[FieldError]:
    """What is wrong with the invoice as a whole."""
    found = []
    if currency not in currencies.in_use():
        message = f"{currency} is not a currency in use."
        found.append(_error("currency", "currency-not-in-use", message, currency=currency))
    if problem := _total_problem(currency, totals.total):
        found.append(problem)
    latest = _years_after(today, _YEARS_AHEAD)
    if not _EARLIEST_DUE <= due_on <= latest:
        message = f"The due date must be between {_EARLIEST_DUE} and {latest}."
        values: dict[str, JsonValue] = {
            "first": {"date": _EARLIEST_DUE.isoformat()},
            "last": {"date": latest.isoformat()},
        }
        found.append(_error("due_on", "due-date-out-of-range", message, **values))
    return found


def link_end_problem(moment: datetime | None, now: datetime) -> FieldError | None:
    """What is wrong with the end of a payment link; None: nothing. It lies ahead, and in a year that clocks can show."""
    if moment is None:
        return None
    if moment <= now:
        return _error("link_expires_at", "link-end-past", "The payment link must end in the future.")
    latest = _years_after(now.date(), _YEARS_AHEAD)
    if moment > datetime.combine(latest, time.max, now.tzinfo):
        message = f"The payment link must end on {latest} or earlier."
        return _error("link_expires_at", "link-end-too-late", message, last={"date": latest.isoformat()})
    return None


def _error(field: str, code: str, message: str, **values: JsonValue) -> FieldError:
    return FieldError(field=field, message=message, code=code, values=values)


def _total_problem(currency: str, total: int) -> FieldError | None:
    least, most = currencies.smallest_charge(currency), currencies.largest_charge(currency)
    step = currencies.smallest_step(currency)
    if total < least:
        message = f"The total must be at least {currencies.written(least, currency)}."
        return _error("lines", "total-too-small", message, least=_money(least, currency))
    if total > most:
        message = f"The total must be at most {currencies.written(most, currency)}."
        return _error("lines", "total-too-large", message, most=_money(most, currency))
    if total % step:
        whole, shown = currencies.written(step, currency), currencies.written(total, currency)
        message = f"Cards can be charged in steps of {whole} only; the total is {shown}."
        values = {"step": _money(step, currency), "total": _money(total, currency)}
        return _error("lines", "total-between-steps", message, **values)
    return None


def _money(amount: int, currency: str) -> JsonValue:
    return {"amount": amount, "currency": currency}


def part_problem(balance: Balance, amount: int, *, allowed: bool) -> FieldError | None:
    """What is wrong with paying `amount` of what is payable now; None: nothing. What is left must be payable too."""
    payable, currency = balance.payable_now, balance.currency
    if amount > payable:
        message = f"At most {currencies.written(payable, currency)} can be paid now."
        return _error("amount", "part-too-large", message, most=_money(payable, currency))
    if amount == payable:
        return None
    if not allowed:
        message = f"Only the whole amount of {currencies.written(payable, currency)} can be paid."
        return _error("amount", "part-not-allowed", message, whole=_money(payable, currency))
    if problem := _total_problem(currency, amount):
        return _error("amount", "part-not-chargeable", problem.message.replace("The total", "A part"), **problem.values)
    least = currencies.smallest_charge(currency)
    if payable - amount < least:
        message = f"What is left must be at least {currencies.written(least, currency)}."
        return _error("amount", "rest-too-small", message, least=_money(least, currency))
    return None


def chargeable(amount: int, currency: str) -> bool:
    """Whether a card can be charged this amount at all."""
    return _total_problem(currency, amount) is None


def why_not_opened(status: Status) -> str | None:
    """The reason why an invoice may not be opened; None: it may."""
    return None if status == "draft" else f"Only a draft can be opened. This invoice is {in_words(status)}."


def why_not_withdrawn(balance: Balance) -> str | None:
    """The reason why an invoice may not be voided; None: it may. An uncollectible one may still be withdrawn."""
    if balance.status not in ("open", "uncollectible"):
        return f"Only an open invoice can be voided. This invoice is {in_words(balance.status)}."
    return _money_on_it(balance)


def why_not_replaced(balance: Balance) -> str | None:
    """The reason why another invoice may not take its place; None: it may."""
    if balance.status != "open":
        return f"Only an open invoice can be replaced. This invoice is {in_words(balance.status)}."
    return _money_on_it(balance)


def why_not_given_up(balance: Balance) -> str | None:
    """The reason why an invoice may not be marked uncollectible; None: it may."""
    if balance.status != "open":
        return f"Only an open invoice can be marked uncollectible. This invoice is {in_words(balance.status)}."
    return None if not balance.processing else _money_on_it(balance)


def _money_on_it(balance: Balance) -> str | None:
    if balance.processing:
        return "A payment of this invoice is being processed. Wait for its outcome."
    # A bank that took the money back has taken it off the invoice like a refund; nobody could give it back once more.
    if balance.paid > balance.refunded + balance.disputed:
        return "Part of this invoice is already paid. Give that money back first."
    return None


def in_words(status: Status) -> str:
    """The state as it stands after "This invoice is"."""
    match status:
        case "draft":
            return "a draft"
        case "uncollectible":
            return "marked uncollectible"
        case "open" | "paid" | "void":
            return status
        case _:
            assert_never(status)


def _years_after(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February
        return day.replace(year=day.year + years, day=28)
