"""Subscriptions and payment plans: which charges they bring, and what pausing, resuming and cancelling change.

`Terms` is what was agreed and never changes, `Standing` is how far it has come. What was decided where no rule of nature says so:

- A charge is made in advance, on the first day of its period, in full: there is no proration anywhere.
- A trial of n days ends on the day that it began plus n days; that day is the anchor. A trial that ends on the 31st
  anchors to the 31st: 28 Feb, 31 Mar, 30 Apr.
- `ends_on` is inclusive: a period that begins on it is still charged, and runs to its own end.
- `ends_after` counts charges made. A period skipped by a pause does not count: the end moves, nothing is lost.
- `minimum_payments` counts payments that succeeded, and binds the customer's cancellation alone; the merchant is free.
- A recurring subscription is *completed* when its last charged period is over, a plan when its last instalment's invoice
  is made: debt belongs to the invoice. A paused one with an end waits for it, since it might be resumed until then.
- A pause begins on a day whose charge was not made yet: that charge is skipped. Charges of earlier days that an outage
  kept back are still made, in every state: those days were neither paused nor cancelled.
- Resumed in the middle of a period, a recurring subscription is charged on the next day of its calendar; the days until then
  are free, the anchor stays. A plan's instalments move by whole intervals (custom ones by days), see `plans.moved`.
- Cancelled *now*, the current period ends today and nothing is given back by itself: the merchant may refund it.
- The *period end* of a subscription is the end of what is charged until today (a charge due today included), in a trial
  its end, and today when a pause has outlasted it; that of a plan is the day of its next instalment.
- A plan cancelled with *owe* has one last charge, the sum of what is open, due on the day of the cancellation (several
  where that is more than a card can be charged); with *waive* nothing. *ask* leaves the choice to the merchant: a customer cannot cancel such a plan alone.
- A scheduled cancellation beats a scheduled pause of the same day; both are kept, so that undoing it is as if it had never been.
"""

from services.billing.domain.plans import Rest
from services.billing.domain.subscriptions.changes import (
    after_last_retry,
    cancel,
    pause,
    period_end,
    resume,
    undo_cancel,
)
from services.billing.domain.subscriptions.permission import Refused, pause_problems, why_not, why_not_changed
from services.billing.domain.subscriptions.preview import Moved, Preview, preview
from services.billing.domain.subscriptions.schedule import (
    accept,
    charged,
    due,
    next_charge,
    projected,
    turn,
    turned,
    upcoming,
)
from services.billing.domain.subscriptions.terms import (
    MOST_PAYMENTS,
    Action,
    By,
    Charge,
    Gap,
    Kind,
    Standing,
    Status,
    Terms,
    When,
    terms_problems,
)
from services.billing.domain.subscriptions.turning import turns_on

__all__ = [
    "MOST_PAYMENTS",
    "Action",
    "By",
    "Charge",
    "Gap",
    "Kind",
    "Moved",
    "Preview",
    "Refused",
    "Rest",
    "Standing",
    "Status",
    "Terms",
    "When",
    "accept",
    "after_last_retry",
    "cancel",
    "charged",
    "due",
    "next_charge",
    "pause",
    "pause_problems",
    "period_end",
    "preview",
    "projected",
    "resume",
    "terms_problems",
    "turn",
    "turned",
    "turns_on",
    "undo_cancel",
    "upcoming",
    "why_not",
    "why_not_changed",
]
