"""Whether a mail about a subscription is still true, asked just before it is sent."""

from chassis.requests import Work
from contracts.billing import BillingMailFacts, Subscription
from contracts.message import MailFacts, NotFound, SubscriptionId
from services.billing.handlers.subscribing import current_token
from services.billing.store import collecting, subscriptions
from services.billing.store.links import why_dead


async def subscription_facts(work: Work, question: BillingMailFacts, *, secret_key: str) -> MailFacts:
    """The subscription as it stands, and why a mail about how it stood earlier is not true any more."""
    if work.cause.merchant_id is None:
        raise NotFound
    kept = await subscriptions.subscription(work.db, work.cause.merchant_id, SubscriptionId(question.id))
    if kept is None:
        raise NotFound
    state, facts = kept.state, kept.state.model_dump(mode="json")
    if not _true(question.kind, state):
        return MailFacts(still_true=False, why_not=state.status, facts=facts)
    if question.kind == "renewal_ahead":
        by = await collecting.chargeable(work.db, state.merchant_id, state.customer_id, state.payment_method_id)
        facts["has_method"] = by is not None
    if question.kind != "subscription_link":
        return MailFacts(still_true=True, facts=facts)
    token = current_token(kept, secret_key)
    if why_dead(state.link, work.db.clock.now(), token):
        return MailFacts(still_true=False, why_not="link", facts=facts)
    return MailFacts(still_true=True, path=f"/pay/{token}", facts=facts)


def _true(kind: str, state: Subscription) -> bool:
    match kind:
        case "subscription_link":
            return state.status == "pending"
        case "subscription_paused":
            return state.status == "paused"
        case "subscription_resumed":
            return state.status == "active" and state.pause_on is None
        case "subscription_cancel_planned":
            return state.cancel_on is not None and state.status in {"active", "paused"}
        case "subscription_cancelled":
            return state.status == "cancelled"
        case "subscription_completed":
            return state.status == "completed"
        case _:
            return state.status == "active" and state.next_charge is not None
