"""Withdrawing an invoice, and giving it up. An open checkout is expired at Stripe first: nobody may pay it afterwards."""

from collections.abc import Awaitable, Callable
from functools import partial

from chassis.database import Tx
from chassis.requests import Commands, Work, steps
from contracts.billing import (
    GiveUpInvoice,
    Invoice,
    InvoiceGivenUp,
    InvoiceNotPayable,
    InvoiceVoided,
    ReplaceInvoice,
    VoidInvoice,
)
from contracts.message import Conflict, FieldError, InvalidInput, InvoiceId, NotFound
from services.billing.domain.invoices import Balance, why_not_given_up, why_not_replaced, why_not_withdrawn
from services.billing.handlers.access import lock_of_member, require_role
from services.billing.handlers.invoices import created, wanted
from services.billing.handlers.paying import balance_of, close_checkout
from services.billing.settings import Settings
from services.billing.store import books, payments
from services.billing.stripe_gateway import StripeError, StripeGateway, within_budget

_CLOSERS = ("admin", "manager")


async def void_invoice(work: Work, command: VoidInvoice, *, stripe: StripeGateway, settings: Settings) -> Invoice:
    """Withdraw an invoice."""
    return await _close(work, command, stripe, settings, InvoiceVoided, why_not_withdrawn)


async def give_up_invoice(work: Work, command: GiveUpInvoice, *, stripe: StripeGateway, settings: Settings) -> Invoice:
    """Mark an invoice uncollectible."""
    return await _close(work, command, stripe, settings, InvoiceGivenUp, why_not_given_up)


async def replace_invoice(work: Work, command: ReplaceInvoice, *, stripe: StripeGateway, settings: Settings) -> Invoice:
    """Withdraw an invoice and make another in its place. Answers with the new one."""

    async def check(tx: Tx, invoice: Invoice) -> None:
        if invoice.subscription_id is not None:
            raise Conflict("An invoice of a subscription follows its terms. Cancel the subscription instead.")
        if invoice.customer_id != command.customer_id:
            raise NotFound("There is no such customer.")
        if command.draft:
            # Its link would lead the customer to an invoice that they cannot see.
            message = "A draft cannot take the place of an open invoice."
            raise InvalidInput(message, errors=(FieldError(field="draft", message=message, code="draft-replacement"),))
        await wanted(tx, command)

    async def end(tx: Tx, invoice: Invoice) -> Invoice:
        fresh = await created(tx, command, settings.secret_key, InvoiceId(invoice.id))
        await books.invoice_replaced(tx, invoice, InvoiceId(fresh.id))
        return fresh

    return await _end_invoice(work, command.invoice_id, stripe, settings, why_not_replaced, end, check)


async def _close(
    work: Work,
    command: VoidInvoice | GiveUpInvoice,
    stripe: StripeGateway,
    settings: Settings,
    event: type[InvoiceVoided | InvoiceGivenUp],
    why_not: Callable[[Balance], str | None],
) -> Invoice:
    async def end(tx: Tx, invoice: Invoice) -> Invoice:
        return await books.invoice_closed(tx, invoice, event)

    return await _end_invoice(work, command.invoice_id, stripe, settings, why_not, end)


async def _end_invoice(
    work: Work,
    invoice_id: InvoiceId,
    stripe: StripeGateway,
    settings: Settings,
    why_not: Callable[[Balance], str | None],
    end: Callable[[Tx, Invoice], Awaitable[Invoice]],
    check: Callable[[Tx, Invoice], Awaitable[None]] | None = None,
) -> Invoice:
    """Close the invoice's checkout, outside any transaction, until none is open; then end it.

    `check` refuses what cannot be done, before somebody who is paying loses their checkout to it.
    """
    for _ in range(2):
        async with work.transaction() as tx:
            require_role(tx.cause.actor, *_CLOSERS)
            invoice = await lock_of_member(tx, invoice_id)
            if reason := why_not(balance_of(invoice)):
                raise Conflict(reason)
            if check is not None:
                await check(tx, invoice)
            standing = await payments.open_attempt(tx, tx.merchant, invoice_id)
            if standing is None:
                ended = await end(tx, invoice)
                tx.reply(ended)
                return ended
        try:
            async with within_budget():
                await close_checkout(work, standing, stripe, settings)
        except InvoiceNotPayable as paying:
            raise Conflict(paying.detail) from paying
        except StripeError as doubt:
            raise Conflict("This invoice is being paid, and the checkout could not be closed. Try again.") from doubt
    raise Conflict("This invoice is being paid right now.")


def commands(stripe: StripeGateway, settings: Settings) -> Commands:
    """Which function answers which command."""
    return {
        VoidInvoice: steps(partial(void_invoice, stripe=stripe, settings=settings)),
        ReplaceInvoice: steps(partial(replace_invoice, stripe=stripe, settings=settings)),
        GiveUpInvoice: steps(partial(give_up_invoice, stripe=stripe, settings=settings)),
    }
