"""AddPaymentMethod: open, or resume, the hosted page on which a customer gives a payment method.

Transaction 1 locks the customer's row and finds what was begun; what is missing, the customer at Stripe or a new setup, is
saved before Stripe is asked; the last transaction stores the page's address with the reply.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeAlias, assert_never

from chassis.database import Tx
from chassis.ids import new_id
from chassis.requests import Commands, Work, steps
from contracts.billing import AddPaymentMethod, PaymentsUnavailable, SetupStarted
from contracts.identity import Customer
from contracts.message import Actor, Conflict, CustomerId, InvalidInput, NotAccepted, NotFound, SubscriptionId
from services.billing.handlers.methods import require_wallet
from services.billing.settings import Settings
from services.billing.store import agreements, copies, setups, stripe_customers, subscriptions
from services.billing.store.accounts import account_of
from services.billing.store.setups import PUBLIC, Setup
from services.billing.store.stripe_customers import Owner
from services.billing.stripe_gateway import (
    SetupReference,
    StripeError,
    StripeGateway,
    StripeRefusedError,
    setup_request,
    within_budget,
)

_SAVING = "added=confirming"
"""What the page that one returns to is told; it proves nothing."""
_TOKEN = "{pay_link_token}"  # noqa: S105 - what stands in the token's place
_ROUNDS = 4
"""A customer to be made at Stripe and an expired page may stand in the way, each once."""


@dataclass(frozen=True)
class Purpose:
    """What a page is opened for. `token`: a pay link's, in the return path; it stands in no row of ours.

    `not_before`: pages that were opened earlier are not gone on with, they belong to a link that is dead.
    """

    customer_id: CustomerId
    return_path: str
    subscription_id: SubscriptionId | None = None
    token: str = ""
    not_before: datetime | None = None


@dataclass(frozen=True)
class Unknown:
    """Stripe does not know the customer yet."""

    customer: Customer
    account: str | None


Plan: TypeAlias = Unknown | Setup


async def add_payment_method(
    work: Work, command: AddPaymentMethod, *, stripe: StripeGateway, settings: Settings
) -> SetupStarted:
    """Answer with the URL of the page on which the customer gives a payment method."""
    actor = work.cause.actor
    customer_id = command.customer_id or actor.customer_id
    if customer_id is None:
        raise InvalidInput("Say for which customer.")
    require_wallet(actor, customer_id)
    return await hosted_setup(work, Purpose(customer_id, command.return_path), stripe=stripe, settings=settings)


async def hosted_setup(work: Work, purpose: Purpose, *, stripe: StripeGateway, settings: Settings) -> SetupStarted:
    """Open, or resume, the page of this actor for this purpose. Who may is the caller's to decide.

    Raises:
        PaymentsUnavailable: Stripe cannot be asked, or refuses; the same request may be sent again.
    """
    try:
        async with within_budget():
            for _ in range(_ROUNDS):
                plan = await _plan(work, purpose, settings)
                match plan:
                    case Unknown():
                        await make_customer(work, plan, stripe)
                    case Setup():
                        if started := await _go_on(work, plan, purpose, stripe):
                            return started
                    case _:
                        assert_never(plan)
    except StripeError as away:
        raise PaymentsUnavailable("Payment methods cannot be added right now. Please try again later.") from away
    raise PaymentsUnavailable("The page to add a payment method could not be opened. Please try again.")


async def _plan(work: Work, purpose: Purpose, settings: Settings) -> Plan:
    """The setup to go on with, a new one if need be, or that the customer has to be made at Stripe first."""
    async with work.transaction() as tx:
        customer = await copies.customer(tx, tx.merchant, purpose.customer_id)
        if customer is None or customer.archived:
            raise NotFound("There is no such customer.")
        account = await account_of(tx, tx.merchant)
        if purpose.subscription_id is not None:
            # Before the customer's row: the new setup refers to it, and whoever accepts it holds it by then.
            await subscriptions.lock_subscription(tx, tx.merchant, purpose.subscription_id)
        stripe_id = await stripe_customers.lock_customer(tx, tx.merchant, purpose.customer_id, account)
        if stripe_id is None:
            return Unknown(customer, account)
        payer = payer_of(tx.cause.actor)
        standing = await setups.open_setup(
            tx, tx.merchant, purpose.customer_id, account, payer, purpose.subscription_id, purpose.not_before
        )
        if standing is not None:
            return standing
        # This command ran before, and its page has ended meanwhile: a late repeat must not open another one.
        if await setups.command_was_used(tx, tx.merchant, payer, tx.cause.message_id):
            raise Conflict("This page has ended. Begin again.")
        made = await _new_setup(tx, purpose, Owner(tx.merchant, purpose.customer_id, account, stripe_id), settings)
        await setups.insert_setup(tx, made)
        return made


def payer_of(actor: Actor) -> str:
    """Who resumes whose page: a person their own, and whoever holds a link that of the link."""
    return PUBLIC if actor.kind == "public" else str(actor)


async def _new_setup(tx: Tx, purpose: Purpose, owner: Owner, settings: Settings) -> Setup:
    merchant = await copies.merchant(tx, tx.merchant)
    if merchant is None:
        # Its announcement is still on the way to us, and the page must say whom one gives a card to.
        raise NotAccepted("We do not know this merchant yet. Please try again in a moment.")
    setup_id = new_id()
    path = purpose.return_path.replace(purpose.token, _TOKEN) if purpose.token else purpose.return_path
    back = settings.public_url.rstrip("/") + path
    request = setup_request(
        SetupReference(tx.merchant, purpose.customer_id, setup_id),
        owner.stripe_id,
        merchant.currency,
        f"{back}{'&' if '?' in path else '?'}{_SAVING}",
        back,
        merchant.name,
    )
    return Setup(
        id=setup_id,
        merchant_id=tx.merchant,
        customer_id=purpose.customer_id,
        account=owner.account,
        subscription_id=purpose.subscription_id,
        command_id=tx.cause.message_id,
        payer=payer_of(tx.cause.actor),
        correlation_id=tx.cause.correlation_id,
        request=request,
        created_at=tx.now,
    )


async def make_customer(work: Work, unknown: Unknown, stripe: StripeGateway) -> None:
    """Make the customer at Stripe, once whatever is repeated, and remember who they are there.

    Nothing but ids goes along: the key must come with the same body each time, and names and addresses change.
    """
    customer, account = unknown.customer, unknown.account
    ids = {"merchant_id": str(customer.merchant_id), "customer_id": str(customer.id)}
    stripe_id = await stripe.create_customer({"metadata": ids}, f"customer:{customer.id}", account)
    async with work.transaction() as tx:
        owner = Owner(customer.merchant_id, CustomerId(customer.id), account, stripe_id)
        await stripe_customers.note_customer(tx, owner)


async def _go_on(work: Work, setup: Setup, purpose: Purpose, stripe: StripeGateway) -> SetupStarted | None:
    """The URL of the setup's page; None when it has ended and another may begin."""
    try:
        if setup.session_id is not None:
            page = await stripe.setup_page(setup.session_id, setup.account)
        else:
            request, age = _with_token(setup, purpose.token), work.db.clock.now() - setup.created_at
            found = await stripe.join_setup(request, setup.id, age, setup.account)
            if found is None:
                await _end(work, setup)
                return None
            page = found
    except StripeRefusedError:
        await _end(work, setup)
        raise
    if page.status != "open" or page.url is None:
        await _end(work, setup, "done" if page.status == "complete" else "ended", page.method)
        return None
    async with work.transaction() as tx:
        await setups.bind_session(tx, setup.id, page.id, page.url)
        result = SetupStarted(setup_url=page.url)
        tx.reply(result)
    return result


def _with_token(setup: Setup, token: str) -> dict[str, Any]:
    """The stored request as it is sent, the same each time: its idempotency key demands it."""
    urls = {name: str(setup.request[name]).replace(_TOKEN, token) for name in ("success_url", "cancel_url")}
    return {**setup.request, **urls}


async def _end(work: Work, setup: Setup, status: Literal["done", "ended"] = "ended", method: str | None = None) -> None:
    async with work.transaction() as tx:
        await agreements.setup_ended(tx, setup, status, method)
        if status == "done":
            # Its webhook may have been lost.
            await stripe_customers.ask_for_look(tx, setup.merchant_id, setup.customer_id, setup.account)


def commands(stripe: StripeGateway, settings: Settings) -> Commands:
    """Which function answers which command."""
    return {AddPaymentMethod: steps(partial(add_payment_method, stripe=stripe, settings=settings))}
