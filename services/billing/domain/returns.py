"""How a refund and a dispute move on, whatever the order in which we are told, and what they hold."""

from typing import Literal

from contracts.message import Money

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


def held(disputed: Money, payment: Money, status: DisputeStatus, *, inquiry: bool) -> int:
    """How much of a payment a dispute keeps out of the merchant's hands, in the payment's minor units.

    An inquiry takes no money. A bank may dispute more than was paid (its fees, its rate of exchange), or in a currency of
    its own: then all of the payment is held, and nothing of it can be given back beside.
    """
    if inquiry or status == "won":
        return 0
    return min(disputed.amount, payment.amount) if disputed.currency == payment.currency else payment.amount
