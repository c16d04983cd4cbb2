"""How a refund and a dispute move on, whatever the order in which we are told, and what they hold."""

from typing import Literal

RefundStatus = Literal["created", "processing", "succeeded", "failed", "unknown"]
DisputeStatus = Literal["open", "won", "lost"]

_RANKS: dict[RefundStatus, int] = {"created": 0, "unknown": 0, "processing": 1, "succeeded": 2, "failed": 3}


def moves_on(now: RefundStatus, told: RefundStatus) -> bool:
    """Whether `told` is news about a refund that stands at `now`.

    A refund may fail after it succeeded and never comes back from there, so an older word is told by its rank.
    """
    return _RANKS[told] > _RANKS[now]


def credited_part(amount: int, surplus_left: int) -> int:
    """How much of a refund is taken off its invoice: what nobody owed is given back first."""
    return max(amount - surplus_left, 0)


def surplus_of(amount: int, *, applied: bool, last: bool, received: int, counted: int) -> int:
    """How much of a payment came on top of what was due on its invoice.

    Args:
        amount: the payment's, in minor units.
        applied: whether any of it was counted on the invoice: it has a receipt then.
        last: whether it was the last one that was counted; only that one can be more than was due.
        received: the sum of all payments that were counted.
        counted: what the invoice says is paid.
    """
    if not applied:
        return amount
    return max(received - counted, 0) if last else 0


def held(amount: int, status: DisputeStatus, *, inquiry: bool) -> int:
    """What a dispute keeps out of the merchant's hands. An inquiry takes no money."""
    return 0 if inquiry or status == "won" else amount
