"""StartInvoicePayment: open, or resume, the one checkout of an invoice.

Transaction 1 locks the invoice, decides and saves the numbered attempt; Stripe is asked outside any transaction;
transaction 2 stores what it said, with the reply. A crash between them leaves an attempt without a session, which whoever
comes next joins with its own idempotency key.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias, assert_never

from chassis.database import Tx
from chassis.ids import new_id
from chassis.requests import Commands, Work, steps
from contracts.billing import (
    AmountNotChargeable,
    CheckoutStarted,
    Decline,
    Invoice,
    InvoiceAlreadyPaid,
    InvoiceNotPayable,
    Payment,
    PaymentsUnavailable,
    StartInvoicePayment,
)
from contracts.message import Actor, InvalidInput, InvoiceId, MerchantId, Money, NotAllowed, NotFound, PaymentId, utc
from services.billing.domain.invoices import Balance, chargeable, part_problem
from services.billing.handlers.access import require_sight
from services.billing.handlers.invoices import require_open
from services.billing.handlers.setups import Unknown, make_customer
from services.billing.settings import Settings
from services.billing.store import books, copies, invoices, payments, stripe_customers, stripe_events
from services.billing.store.accounts import account_of
from services.billing.store.links import current_token, token_in
from services.billing.store.payments import Attempt
from services.billing.store.stripe_events import NewEvent
from services.billing.stripe_gateway import (
    Checkout,
    Reference,
    StripeError,
    StripeGateway,
    StripeRefusedError,
    StripeUnavailableError,
    StripeUnknownError,
    checkout_request,
    found_event,
    payload_of,
    within_budget,
)

_FRESH = timedelta(seconds=2)
"""A double click needs no question at Stripe; anything older may have been paid or expired meanwhile."""
_CONFIRMING = "paid=confirming"
"""What the page that one returns to after paying is told; it proves nothing."""
_TOKEN = "{pay_link_token}"  # noqa: S105 - what stands in the token's place
_UNCHARGEABLE = frozenset(["amount_too_small", "amount_too_large"])
"""Stripe's words for an amount outside its limits, some of which move with the day's exchange rate."""
_ROUNDS = 4
"""A customer to be made at Stripe, an expired checkout and another person's may stand in the way, each once; more than that is a fight over the button."""


@dataclass(frozen=True)
class Answered:
    """The checkout was opened a moment ago: the reply is stored."""

    result: CheckoutStarted


@dataclass(frozen=True)
class Mine:
    """This payer's attempt: open its checkout, or see whether it is still open. `token`: their link's, "" without one."""

    attempt: Attempt
    token: str


@dataclass(frozen=True)
class Others:
    """Somebody else's attempt stands in the way: its checkout has to be closed first."""

    attempt: Attempt


Plan: TypeAlias = Answered | Mine | Others | Unknown


async def start_invoice_payment(
    work: Work, command: StartInvoicePayment, *, stripe: StripeGateway, settings: Settings
) -> CheckoutStarted:
    """Answer with the URL of the invoice's checkout. Never opens a second one beside an open one."""
    try:
        async with within_budget():
            for _ in range(_ROUNDS):
                plan = await _plan(work, command, settings)
                match plan:
                    case Answered(result):
                        return result
                    case Mine(attempt, token):
                        if started := await _go_on(work, attempt, token, stripe, settings):
                            return started
                    case Others(attempt):
                        await close_checkout(work, attempt, stripe, settings)
                    case Unknown():
                        await make_customer(work, plan, stripe)
                    case _:
                        assert_never(plan)
    except StripeUnavailableError as away:
        raise PaymentsUnavailable from away
    except StripeUnknownError as unknown:
        await _remember_doubt(work, command)
        raise PaymentsUnavailable from unknown
    raise InvoiceNotPayable("Somebody else is paying this invoice right now.", why="being_paid")


async def _plan(work: Work, command: StartInvoicePayment, settings: Settings) -> Plan:
    """Transaction 1: may it be paid now, and whose attempt is it?"""
    async with work.transaction() as tx:
        actor = tx.cause.actor
        invoice = await invoices.lock_invoice(tx, tx.merchant, command.invoice_id)
        if invoice is None:
            raise NotFound
        _require_payer(invoice, actor, command.link_token_sha256, tx)
        require_open(invoice)
        payer = payer_of(actor)
        payable = _payable(invoice, command.amount)
        token = token_in(command.return_path, invoice.link)
        standing = await payments.open_attempt(tx, tx.merchant, command.invoice_id)
        if standing is None:
            await _require_unused(tx, command.invoice_id, payer)
            account = await account_of(tx, invoice.merchant_id)
            stripe_id = await _stripe_id(tx, invoice, account)
            if isinstance(stripe_id, Unknown):
                return stripe_id
            attempt = await _new_attempt(tx, invoice, payable, command, settings, stripe_id, account)
            await books.payment_started(tx, attempt)
            return Mine(attempt, token)
        if standing.payment.automatic:
            raise InvoiceNotPayable("This invoice is being charged automatically right now.", why="charging")
        if standing.payer != payer or standing.payment.amount != payable:
            # Another part of the amount: the page that asks for the first must not be paid beside the new one.
            return Others(standing)
        if standing.session_url is not None and tx.now - standing.payment.created_at <= _FRESH:
            result = _result(standing, standing.session_url)
            tx.reply(result)
            return Answered(result)
        return Mine(standing, token)


def payer_of(actor: Actor) -> str:
    """Who resumes whose checkout: a contact their own, and whoever holds the link that of the link."""
    return str(actor) if actor.kind == "contact" else "public"


def _require_payer(invoice: Invoice, actor: Actor, token_sha256: str | None, tx: Tx) -> None:
    if actor.kind not in ("contact", "public"):
        raise NotAllowed("Only the customer can pay an invoice. Send them the payment link.")
    require_sight(invoice, actor, token_sha256, tx.now)
    if actor.read_only:
        raise NotAllowed("You are looking on behalf of somebody else and cannot pay.")


async def _require_unused(tx: Tx, invoice_id: InvoiceId, payer: str) -> None:
    # This command ran before, and its attempt has ended meanwhile: a late repeat must not begin another one.
    if await payments.attempt_of_command(tx, invoice_id, payer, tx.cause.message_id):
        raise InvoiceNotPayable("This attempt to pay has ended. Press Pay again.", why="ended")


async def _stripe_id(tx: Tx, invoice: Invoice, account: str | None) -> str | Unknown | None:
    """The customer at Stripe, for whom a subscription's payment method is kept. None: nothing is kept."""
    if invoice.subscription_id is None:
        return None
    stripe_id = await stripe_customers.lock_customer(tx, invoice.merchant_id, invoice.customer_id, account)
    if stripe_id is not None:
        return stripe_id
    customer = await copies.customer(tx, invoice.merchant_id, invoice.customer_id)
    if customer is None:
        # Erased: they may still pay, and nothing is kept.
        return None
    return Unknown(customer, account)


def _payable(invoice: Invoice, part: int | None) -> int:
    """What the checkout is to ask for. Raises InvoiceNotPayable, AmountNotChargeable or InvalidInput (`amount`)."""
    balance = balance_of(invoice)
    if balance.payable_now == 0:
        raise InvoiceNotPayable("A payment of this invoice is being processed.", why="processing")
    if part is not None and (problem := part_problem(balance, part, allowed=invoice.allow_partial)):
        raise InvalidInput(problem.message, errors=(problem,))
    payable = balance.payable_now if part is None else part
    if not chargeable(payable, invoice.currency):
        raise AmountNotChargeable(why="amount")
    return payable


async def _new_attempt(
    tx: Tx,
    invoice: Invoice,
    payable: int,
    command: StartInvoicePayment,
    settings: Settings,
    stripe_id: str | None,
    account: str | None,
) -> Attempt:
    payment = Payment(
        id=new_id(),
        merchant_id=invoice.merchant_id,
        customer_id=invoice.customer_id,
        invoice_id=InvoiceId(invoice.id),
        attempt=await invoices.next_attempt(tx, InvoiceId(invoice.id)),
        status="created",
        amount=payable,
        currency=invoice.currency,
        created_at=tx.now,
    )
    success_url, cancel_url = _return_urls(settings.public_url, _without_token(command.return_path, invoice))
    request = checkout_request(
        Reference(invoice.merchant_id, InvoiceId(invoice.id), PaymentId(payment.id)),
        Money(payable, invoice.currency),
        f"{invoice.number} · {invoice.seller.name}" if invoice.seller else str(invoice.number),
        invoice.buyer.email if invoice.buyer else None,
        success_url,
        cancel_url,
        merchant_name=invoice.seller.name if invoice.seller else None,
        keep_for=stripe_id,
    )
    actor = tx.cause.actor
    return Attempt(
        payment,
        command_id=tx.cause.message_id,
        payer=payer_of(actor),
        payer_name=actor.name,
        correlation_id=tx.cause.correlation_id,
        request=request,
        account=account,
    )


def _return_urls(public_url: str, return_path: str) -> tuple[str, str]:
    """Where the browser comes back to after paying, and after turning back: only the first says "confirming"."""
    path, _, query = return_path.partition("?")
    kept = [each for each in query.split("&") if each and each != _CONFIRMING]
    back = public_url.rstrip("/") + path
    success_url = f"{back}?{'&'.join([*kept, _CONFIRMING])}"
    return success_url, f"{back}?{'&'.join(kept)}" if kept else back


def _without_token(return_path: str, invoice: Invoice) -> str:
    """The return path as it may be stored: a pay link's token stands in no row of ours."""
    token = token_in(return_path, invoice.link)
    return return_path.replace(token, _TOKEN) if token else return_path


async def _with_token(work: Work, attempt: Attempt, token: str, settings: Settings) -> dict[str, Any]:
    """The stored request as it is sent, the same each time: its idempotency key demands it.

    Whoever closes another's checkout has no token. The derived one is it, unless the secret key was changed; then Stripe
    says that the key had another body, and the session is looked for.
    """
    token = token or await current_token(work.db, settings.secret_key, attempt.payment.invoice_id)
    urls = {name: str(attempt.request[name]).replace(_TOKEN, token) for name in ("success_url", "cancel_url")}
    return {**attempt.request, **urls}


def balance_of(invoice: Invoice) -> Balance:
    """The invoice's money, for the domain."""
    money = (invoice.total, invoice.amount_paid, invoice.amount_processing)
    return Balance(invoice.status, invoice.currency, *money, invoice.amount_refunded, invoice.amount_disputed)


async def _go_on(
    work: Work, attempt: Attempt, token: str, stripe: StripeGateway, settings: Settings
) -> CheckoutStarted | None:
    """The URL of this payer's checkout; None when it has expired and a new attempt may begin."""
    try:
        checkout = await _checkout_of(work, attempt, token, stripe, settings)
    except StripeRefusedError as refused:
        decline = Decline(code=refused.code, message=refused.message[:500], at=work.db.clock.now())
        await _end(work, attempt, decline)
        if refused.code in _UNCHARGEABLE:
            raise AmountNotChargeable(why="amount") from refused
        raise PaymentsUnavailable("Stripe does not take this payment. Nothing has been charged.") from refused
    except StripeError:
        if attempt.session_url is None:
            raise
        # The same session as before: harmless whatever it has become, since Stripe takes money for it only once.
        return await _store(work, attempt, str(attempt.session_id), attempt.session_url)
    if checkout is None or checkout.status == "expired":
        await _end(work, attempt)
        return None
    if checkout.status != "open" or checkout.url is None:
        await _note_complete(work, attempt, checkout)
        raise InvoiceNotPayable("This payment is being confirmed.", why="confirming")
    return await _store(work, attempt, checkout.id, checkout.url)


async def _checkout_of(
    work: Work, attempt: Attempt, token: str, stripe: StripeGateway, settings: Settings
) -> Checkout | None:
    if attempt.session_id is not None:
        return await stripe.checkout(attempt.session_id, attempt.account)
    payment = attempt.payment
    age = work.db.clock.now() - payment.created_at
    request = await _with_token(work, attempt, token, settings)
    return await stripe.join_checkout(request, attempt.key, PaymentId(payment.id), age, attempt.account)


async def close_checkout(work: Work, attempt: Attempt, stripe: StripeGateway, settings: Settings) -> None:
    """Expire an attempt's checkout at Stripe and end it in our books.

    Raises:
        InvoiceNotPayable: it is already paid and being confirmed, or Stripe did not say: then it is never overtaken.
            Neither is an automatic charge, which cannot be called back.
    """
    if attempt.payment.automatic:
        raise InvoiceNotPayable("This invoice is being charged automatically right now.", why="charging")
    try:
        checkout = await _checkout_of(work, attempt, "", stripe, settings)
        if checkout is not None and checkout.status == "open":
            checkout = await stripe.expire_checkout(checkout.id, attempt.account)
    except StripeRefusedError:
        checkout = None
    except StripeError as doubt:
        message = "Somebody else is paying this invoice, and their checkout could not be closed. Try again in a minute."
        raise InvoiceNotPayable(message, why="being_paid") from doubt
    if checkout is not None and checkout.status != "expired":
        await _note_complete(work, attempt, checkout)
        raise InvoiceNotPayable("A payment of this invoice is being confirmed.", why="confirming")
    await _end(work, attempt)


async def _store(work: Work, attempt: Attempt, session_id: str, url: str) -> CheckoutStarted:
    """Transaction 2: the session, that the invoice is being paid, and the reply."""
    async with work.transaction() as tx:
        invoice, now = await _locked_again(tx, attempt)
        status = now.payment.status
        if status == "succeeded":
            # The webhook was faster than we.
            raise InvoiceAlreadyPaid(paid_at=utc(now.payment.settled_at or tx.now))
        if status in ("failed", "processing"):
            why = "confirming" if status == "processing" else "ended"
            raise InvoiceNotPayable("This attempt to pay has ended. Press Pay again.", why=why)
        # Settled by other money while this checkout was opening: the worker closes it, and nobody is shown it.
        require_open(invoice)
        if now.session_id != session_id or now.payment.status != "created" or invoice.being_paid is None:
            await books.checkout_opened(tx, invoice, now, session_id, url)
        result = _result(attempt, url)
        tx.reply(result)
    return result


async def _end(work: Work, attempt: Attempt, decline: Decline | None = None) -> None:
    async with work.transaction() as tx:
        invoice, now = await _locked_again(tx, attempt)
        if now.payment.status in ("created", "unknown", "requires_action"):
            await books.payment_ended(tx, invoice, now, decline)


async def _locked_again(tx: Tx, attempt: Attempt) -> tuple[Invoice, Attempt]:
    invoice = await invoices.lock_invoice(tx, attempt.payment.merchant_id, attempt.payment.invoice_id)
    now = await payments.attempt(tx, attempt.payment.merchant_id, PaymentId(attempt.payment.id))
    assert invoice is not None, "Invoices are never deleted."
    assert now is not None, "Attempts are never deleted."
    return invoice, now


async def _note_complete(work: Work, attempt: Attempt, checkout: Checkout) -> None:
    """Have the worker handle a completed checkout as if its webhook had come: it may have been lost."""
    now = work.db.clock.now()
    event = found_event("checkout.session.completed", checkout.raw, attempt.account, now)
    stored = NewEvent(event.id, event.type, event.account, payload_of(event), now)
    await stripe_events.store(work.db, [stored])


async def _remember_doubt(work: Work, command: StartInvoicePayment) -> None:
    """Stripe did not say whether it opened a checkout: the attempt says so until somebody has asked."""
    async with work.transaction() as tx:
        merchant: MerchantId = tx.merchant
        await invoices.lock_invoice(tx, merchant, command.invoice_id)
        standing = await payments.open_attempt(tx, merchant, command.invoice_id)
        if standing is not None and standing.session_id is None and standing.payer == payer_of(tx.cause.actor):
            await books.outcome_unknown(tx, standing)


def _result(attempt: Attempt, url: str) -> CheckoutStarted:
    payment = attempt.payment
    return CheckoutStarted(payment_id=PaymentId(payment.id), checkout_url=url, invoice_id=payment.invoice_id)


def commands(stripe: StripeGateway, settings: Settings) -> Commands:
    """Which function answers which command."""
    return {StartInvoicePayment: steps(partial(start_invoice_payment, stripe=stripe, settings=settings))}
