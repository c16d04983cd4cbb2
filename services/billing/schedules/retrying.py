"""Dunning: charges that failed are tried again on their days, and at once when there is a new default method."""

from datetime import datetime, timedelta

from chassis.database import Row, Tx
from chassis.service import Runtime
from contracts.billing import Decline, Invoice, InvoiceChargeStarted
from contracts.message import InvoiceId, MerchantId, PaymentMethodId
from services.billing.domain.invoices import Balance
from services.billing.domain.settlement import UNENDED
from services.billing.schedules.beginning import begin_charge
from services.billing.schedules.one_of_many import note_failure, one_of_many
from services.billing.store import archiving, books, collecting, copies, debts, invoices, payments, subscriptions
from services.billing.store.collecting import AUTHENTICATE, NEVER_CHARGED, Chargeable

_BUSY = timedelta(hours=1)
"""Somebody is paying, or money is on its way: look again so much later."""
_AFTER_TROUBLE = timedelta(minutes=10)
_DEBTORS = 100


async def retry_due(runtime: Runtime) -> int:
    """Try again what is due by now, and collect the debt of those who have a new default method. Returns how many."""
    until, count = runtime.clock.now(), 0
    for debtor in await debts.debtors(runtime.db, until, _DEBTORS):
        with one_of_many("debtor", merchant=str(debtor["merchant_id"]), customer=str(debtor["customer_id"])) as turn:
            count += await _collect_debt(runtime, debtor)
        if turn.failed:
            await debts.collected(runtime.db, debtor, runtime.clock.now() + _AFTER_TROUBLE)
    while await _retry_next(runtime, until):
        count += 1
    return count


async def _retry_next(runtime: Runtime, until: datetime) -> bool:
    claimed: tuple[MerchantId, InvoiceId] | None = None
    try:
        async with runtime.db.transaction(runtime.system_cause()) as tx:
            claimed = await collecting.claim_retry(tx, until)
            if claimed is not None:
                invoice = await invoices.lock_invoice(tx, *claimed)
                assert invoice is not None, "Invoices are never deleted."
                await _retry(tx, invoice, runtime.settings.secret_key)
    except Exception as error:
        if claimed is None:
            raise
        # One that cannot be tried again, or not even be read, must not keep the others and the renewals waiting.
        merchant_id, invoice_id = claimed
        note_failure(error, "retry", merchant=str(merchant_id), invoice=str(invoice_id))
        await collecting.put_off(runtime.db, invoice_id, runtime.clock.now() + _AFTER_TROUBLE)
    return claimed is not None


async def _retry(tx: Tx, invoice: Invoice, secret_key: str) -> None:
    if invoice.status != "open":
        await collecting.put_off(tx, invoice.id, None)
        return
    if await _is_busy(tx, invoice):
        await collecting.put_off(tx, invoice.id, tx.now + _BUSY)
        return
    if archiving.is_closed(await copies.customer(tx, invoice.merchant_id, invoice.customer_id)):
        await archiving.stop_collecting(tx, invoice)
        return
    by = await _chargeable(tx, invoice)
    if decline := await _in_vain(tx, invoice, by):
        await collecting.charge_failed(tx, invoice, None, decline, secret_key)
    elif by is not None:
        await _try_again(tx, invoice, by)


async def _is_busy(tx: Tx, invoice: Invoice) -> bool:
    balance = Balance(invoice.status, invoice.currency, invoice.total, invoice.amount_paid, invoice.amount_processing)
    return (
        balance.payable_now == 0
        or await payments.open_attempt(tx, invoice.merchant_id, InvoiceId(invoice.id)) is not None
    )


async def _in_vain(tx: Tx, invoice: Invoice, by: Chargeable | None) -> Decline | None:
    """Why a charge would be in vain: no method, or the same one that wants to be confirmed.

    One that was declined for good does not work, and is none. When it does work it was renewed since.
    """
    last = await payments.last_charge(tx, InvoiceId(invoice.id))
    if by is None:
        known = last.decline if last else None
        return collecting.no_method(tx.now) if known is None or known.code == NEVER_CHARGED else known
    if last is None or last.decline is None or last.payment_method_id != by.method_id:
        return None
    return last.decline if last.decline.code == AUTHENTICATE else None


async def _chargeable(tx: Tx, invoice: Invoice) -> Chargeable | None:
    named: PaymentMethodId | None = None
    if invoice.subscription_id is not None:
        kept = await subscriptions.subscription(tx, invoice.merchant_id, invoice.subscription_id)
        named = kept.state.payment_method_id if kept else None
    return await collecting.chargeable(tx, invoice.merchant_id, invoice.customer_id, named)


async def _untried(tx: Tx, invoice: Invoice) -> Chargeable | None:
    """What settles a debt at once: what its subscription names or the default, whichever this invoice was not charged to yet.

    Charged to both, it is the one that was not the last: somebody has just chosen it, or its bank has renewed it.
    """
    by = await _chargeable(tx, invoice)
    default = await collecting.chargeable(tx, invoice.merchant_id, invoice.customer_id, None)
    tried = await payments.methods_charged(tx, InvoiceId(invoice.id))
    fresh = [each for each in (by, default) if each is not None and each.method_id not in tried]
    others = [each for each in (by, default) if each is not None and each.method_id != tried[-1]] if tried else []
    return next(iter([*fresh, *others]), default or by)


async def _try_again(tx: Tx, invoice: Invoice, by: Chargeable) -> None:
    assert invoice.collection is not None, "What is tried again has failed before."
    collection = invoice.collection.model_copy(update={"next_try_at": None})
    started = await books.tell_invoice(tx, InvoiceChargeStarted, invoice, collection=collection)
    await begin_charge(tx, started, by)


async def _collect_debt(runtime: Runtime, debtor: Row) -> int:
    """Charge all that a customer owes whose automatic charge has failed, to the method that they have now.

    Or what they owe for one subscription, to the method that was chosen for it.
    What somebody is just paying waits until they are done, unless that is a charge of this very method.
    """
    count, waits = 0, False
    async with runtime.db.transaction(runtime.system_cause(debtor["merchant_id"])) as tx:
        chosen_for = debtor["subscription_id"]
        for invoice in await collecting.lock_debts(tx, debtor["merchant_id"], debtor["customer_id"], chosen_for):
            by = await (_untried(tx, invoice) if chosen_for is None else _chargeable(tx, invoice))
            if by is None:
                continue
            if await _is_busy(tx, invoice):
                waits = waits or not await _is_charged(tx, invoice, by)
            elif not await _in_vain(tx, invoice, by):
                await _try_again(tx, invoice, by)
                count += 1
        await debts.collected(tx, debtor, tx.now + _BUSY if waits else None)
    return count


async def _is_charged(tx: Tx, invoice: Invoice, by: Chargeable) -> bool:
    """Whether a charge of this method is under way."""
    last = await payments.last_charge(tx, InvoiceId(invoice.id))
    return last is not None and last.status in UNENDED and last.payment_method_id == by.method_id
