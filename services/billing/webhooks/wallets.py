"""What Stripe tells of customers' payment methods. No event is believed for what it says: each makes us look.

So it does not matter in which order they come, how often, or that one is lost; and a change that somebody makes at Stripe
is mirrored as one of ours is.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from chassis.database import Tx
from chassis.service import Runtime
from services.billing.domain.methods import Wallet
from services.billing.store import agreements, methods, setups, stripe_customers, stripe_events, wallets
from services.billing.store.accounts import account_of
from services.billing.store.setups import Setup
from services.billing.store.stripe_customers import Owner
from services.billing.store.stripe_events import StoredEvent
from services.billing.stripe_gateway import Event, StripeGateway, id_in, setup_of, setup_reference_of

_ABOUT_METHODS = ("attached", "updated", "automatically_updated", "detached")


@dataclass(frozen=True)
class WalletNews:
    """Something has happened to a customer's methods. `customer` is Stripe's id; None of a method that was taken away.

    `setup_id` names a setup of ours, by metadata, which is a hint; `ended` says that its page has ended without a method.
    """

    account: str | None
    customer: str | None
    method: str | None = None
    setup_id: UUID | None = None
    session_id: str | None = None
    ended: bool = False


def understand(event: Event) -> WalletNews | str | None:
    """What an event says of payment methods; the reason why that is nothing; None: it is about something else.

    Raises KeyError or TypeError for a broken object.
    """
    thing = event.object
    match event.type.split("."):
        case ["checkout", "session", kind] if thing.get("mode") == "setup":
            return _about_page(event, kind)
        case ["setup_intent", "succeeded"]:
            return WalletNews(event.account, id_in(thing["customer"]))
        case ["payment_method", kind] if kind in _ABOUT_METHODS:
            return WalletNews(event.account, id_in(thing["customer"]), thing["id"])
        case ["customer", "updated" | "deleted"]:
            return WalletNews(event.account, thing["id"])
        case _:
            return None


def _about_page(event: Event, kind: str) -> WalletNews | str:
    page = setup_of(event.object)
    reference = setup_reference_of(page.metadata)
    if reference is None:
        return "foreign: without our metadata"
    if kind not in ("completed", "expired"):
        return "unknown type"
    return WalletNews(
        event.account,
        page.customer,
        setup_id=reference.setup_id,
        session_id=page.id,
        ended=kind == "expired",
    )


async def handle(runtime: Runtime, stripe: StripeGateway, stored: StoredEvent, news: WalletNews) -> None:
    """Look at the customer's methods, outside any transaction, and mirror them in the one that marks the event."""
    owner = await _owner(runtime, news)
    why_not = await _why_foreign(runtime, owner, news)
    setup = await setups.setup(runtime.db, news.setup_id) if news.setup_id and owner else None
    if why_not is None and owner is not None and news.setup_id is not None:
        why_not = _why_not_theirs(setup, owner, news)
    cause = runtime.system_cause()
    wallet, look, method = Wallet(None, ()), 0, None
    if owner is not None and why_not is None:
        correlation_id = setup.correlation_id if setup else cause.correlation_id
        cause = replace(cause, merchant_id=owner.merchant_id, message_id=stored.id, correlation_id=correlation_id)
        if not news.ended:
            method = await _given(stripe, setup, news)
            look = await stripe_customers.next_look(runtime.db, owner)
            wallet = await stripe.wallet(owner.stripe_id, owner.account)
    default: str | None = None
    async with runtime.db.transaction(cause) as tx:
        if not await stripe_events.lock_waiting(tx, stored.id):
            return
        if owner is None or why_not is not None:
            await stripe_events.mark_done(tx, stored.id, why_not or "foreign")
            return
        # Subscriptions are locked before their customer's row, as by whoever changes one: first those that name a method.
        await methods.lock_users(tx, owner.merchant_id, owner.customer_id)
        outcome = await _end_setup(tx, setup, news, method) or "methods mirrored"
        if not news.ended:
            default = await wallets.mirror(tx, owner, wallet, look)
        await stripe_events.mark_done(tx, stored.id, outcome)
    if default is not None and default != wallet.default:
        await stripe.set_default(owner.stripe_id, default, owner.account)


async def _owner(runtime: Runtime, news: WalletNews) -> Owner | None:
    if news.customer is not None:
        return await stripe_customers.owner_by_id(runtime.db, news.customer, news.account)
    return await stripe_customers.owner_of_method(runtime.db, news.method, news.account) if news.method else None


async def _why_foreign(runtime: Runtime, owner: Owner | None, news: WalletNews) -> str | None:
    if owner is None:
        return "foreign: no customer of ours, or a method that is not shown"
    # A page ends where it was opened, whatever account the merchant has connected meanwhile.
    if news.setup_id is None and await account_of(runtime.db, owner.merchant_id) != owner.account:
        return "foreign: not the account that they bill with"
    return None


def _why_not_theirs(setup: Setup | None, owner: Owner, news: WalletNews) -> str | None:
    """A connected merchant can type anybody's ids into their metadata: whose page it was stands in our own rows."""
    if setup is None:
        return "foreign: no setup of ours"
    ours = (setup.merchant_id, setup.customer_id, setup.account) == (
        owner.merchant_id,
        owner.customer_id,
        owner.account,
    )
    if not ours or setup.session_id not in (None, news.session_id):
        return "foreign: not this customer's setup"
    return None


async def _given(stripe: StripeGateway, setup: Setup | None, news: WalletNews) -> str | None:
    """What was given to accept a subscription, which the page's own event does not name."""
    if setup is None or setup.subscription_id is None or setup.status == "done" or news.session_id is None:
        return None
    return (await stripe.setup_page(news.session_id, setup.account)).method


async def _end_setup(tx: Tx, setup: Setup | None, news: WalletNews, method: str | None) -> str | None:
    if setup is None:
        return None
    await agreements.setup_ended(tx, setup, "ended" if news.ended else "done", method)
    return "setup ended" if news.ended else "setup done, methods mirrored"
