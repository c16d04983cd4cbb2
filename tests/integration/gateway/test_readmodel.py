"""The read model: who sees what, lists that neither repeat nor hide, sums that are right whatever came when."""

import asyncio
import itertools
import random
from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.copies import seen_in, upsert
from chassis.ids import new_id
from chassis.listeners import EveryEvent
from chassis.testing import envelope_of
from chassis.tokens import digest
from contracts.billing import (
    Decline,
    Invoice,
    InvoiceDrafted,
    InvoiceOpened,
    InvoicePaid,
    InvoicePaymentDeclined,
    InvoiceVoided,
    Payment,
    PaymentChanged,
)
from contracts.identity import Customer, Invitation, InvitationSent
from contracts.message import CustomerId, EventEnvelope, InvalidInput, Money, NotFound
from contracts.notifications import Mail, MailAccepted
from contracts.todos import TodoAssigned, TodoChanged, TodoCreated, TodoDeleted, TodoDone
from services.gateway import readmodel
from services.gateway.app import FOLLOWS
from services.gateway.domain import Viewer
from services.gateway.pages.activity import news
from tests.integration.gateway.world import START, World, invoice, payment, todo, with_link


def member_of(customer: Customer) -> Viewer:
    return Viewer(customer.merchant_id)


def contact_of(customer: Customer) -> Viewer:
    return Viewer(customer.merchant_id, CustomerId(customer.id))


async def all_ids(world: World, viewer: Viewer, limit: int = 2) -> list[UUID]:
    found: list[UUID] = []
    cursor = None
    while True:
        page = await readmodel.invoices(world.h.db, viewer, cursor=cursor, limit=limit)
        found += [each.id for each in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


# --- lists ----------------------------------------------------------------------------------------------------------


async def test_a_list_goes_on_exactly_where_it_stopped_while_new_rows_arrive(world: World) -> None:
    customer = await world.customer(await world.merchant())
    states = [invoice(customer) for _ in range(7)]
    for state in states:
        await world.hear(InvoiceOpened(state=state))
    seen: list[UUID] = []
    cursor = None
    while True:
        page = await readmodel.invoices(world.h.db, member_of(customer), cursor=cursor, limit=2)
        seen += [each.id for each in page.items]
        await world.hear(InvoiceOpened(state=invoice(customer)))  # a newer one, above what was shown
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [state.id for state in reversed(states)]


async def test_a_full_last_page_has_no_cursor(world: World) -> None:
    customer = await world.customer(await world.merchant())
    for _ in range(4):
        await world.hear(InvoiceOpened(state=invoice(customer)))
    first = await readmodel.invoices(world.h.db, member_of(customer), limit=2)
    last = await readmodel.invoices(world.h.db, member_of(customer), cursor=first.next_cursor, limit=2)
    assert (len(first.items), len(last.items), last.next_cursor) == (2, 2, None)


@pytest.mark.parametrize("cursor", ["x", "W10", "eyJhIjoxfQ", "WyJpbnZvaWNlcyIsIjEiXQ", "é", "A" * 499])
async def test_a_cursor_that_we_did_not_make_is_refused(world: World, cursor: str) -> None:
    customer = await world.customer(await world.merchant())
    with pytest.raises(InvalidInput):
        await readmodel.invoices(world.h.db, member_of(customer), cursor=cursor)


async def test_a_cursor_of_another_list_is_refused(world: World) -> None:
    customer = await world.customer(await world.merchant())
    for _ in range(2):
        await world.hear(InvoiceOpened(state=invoice(customer)))
    cursor = (await readmodel.invoices(world.h.db, member_of(customer), limit=1)).next_cursor
    with pytest.raises(InvalidInput):
        await readmodel.todos(world.h.db, member_of(customer), cursor=cursor)


async def test_another_merchants_cursor_shows_nothing_of_theirs(world: World) -> None:
    mine, theirs = await world.customer(await world.merchant()), await world.customer(await world.merchant())
    for _ in range(3):
        await world.hear(InvoiceOpened(state=invoice(theirs)))
    cursor = (await readmodel.invoices(world.h.db, member_of(theirs), limit=1)).next_cursor
    assert (await readmodel.invoices(world.h.db, member_of(mine), cursor=cursor)).items == ()


async def test_open_invoices_come_by_due_date_and_overdue_ones_alone_on_request(world: World) -> None:
    customer = await world.customer(await world.merchant())
    days = [date(2026, 3, day) for day in (9, 1, 5, 1)]
    for day in days:
        await world.hear(InvoiceOpened(state=invoice(customer, due_on=day)))
    await world.hear(InvoicePaid(state=invoice(customer, "paid", due_on=date(2026, 2, 1))))
    page = await readmodel.open_invoices(world.h.db, contact_of(customer), limit=3)
    rest = await readmodel.open_invoices(world.h.db, contact_of(customer), cursor=page.next_cursor, limit=3)
    assert [each.due_on.day for each in (*page.items, *rest.items)] == [1, 1, 5, 9]
    overdue = await readmodel.open_invoices(world.h.db, member_of(customer), due_before=date(2026, 3, 5))
    assert [each.due_on.day for each in overdue.items] == [1, 1]


async def test_customers_are_found_by_the_beginnings_of_words(world: World) -> None:
    merchant = await world.merchant()
    ada = await world.customer(
        merchant, "Ada Lovelace", company="Analytical Engines", email="ada@royal-society.example"
    )
    await world.customer(merchant, "Émile Zola", email="zola@example.com")
    await world.customer(await world.merchant(), "Ada Other")

    async def found(search: str) -> list[str | None]:
        page = await readmodel.customers(world.h.db, member_of(ada), search=search)
        return [each.name for each in page.items]

    assert await found("love") == ["Ada Lovelace"]
    assert await found("ENGI ada") == ["Ada Lovelace"]
    assert await found("society") == ["Ada Lovelace"]
    assert await found("ada@royal-society.example") == ["Ada Lovelace"]
    assert await found("émi") == ["Émile Zola"]
    assert await found("example") == ["Émile Zola", "Ada Lovelace"]
    assert await found("ove") == []
    assert await found("' | :* & !") == []
    assert await found("") == ["Émile Zola", "Ada Lovelace"]


# --- who sees what --------------------------------------------------------------------------------------------------


async def test_a_contact_sees_their_customers_invoices_and_no_drafts(world: World) -> None:
    merchant = await world.merchant()
    ada, bob = await world.customer(merchant, "Ada"), await world.customer(merchant, "Bob")
    open_, draft, foreign = invoice(ada), invoice(ada, "draft"), invoice(bob)
    for state in (open_, draft, foreign):
        await world.hear(InvoiceOpened(state=state))
    viewer = contact_of(ada)
    assert [each.id for each in (await readmodel.invoices(world.h.db, viewer)).items] == [open_.id]
    assert (await readmodel.invoices(world.h.db, viewer, customer_id=bob.id)).items == ()
    assert (await readmodel.invoice(world.h.db, viewer, open_.id)).id == open_.id
    for hidden in (draft, foreign):
        with pytest.raises(NotFound):
            await readmodel.invoice(world.h.db, viewer, hidden.id)
    assert len((await readmodel.invoices(world.h.db, member_of(ada))).items) == 3


async def test_a_private_to_do_is_shown_to_no_member(world: World) -> None:
    customer = await world.customer(await world.merchant())
    private, shared = todo(customer), todo(customer, shared=True)
    assigned, billing = todo(customer, "assigned"), todo(customer, "billing")
    for state in (private, shared, assigned, billing):
        await world.hear(TodoCreated(state=state))
    member, contact = member_of(customer), contact_of(customer)
    visible = {shared.id, assigned.id, billing.id}
    assert {each.id for each in (await readmodel.todos(world.h.db, member)).items} == visible
    assert {each.id for each in (await readmodel.todos(world.h.db, member, customer_id=customer.id)).items} == visible
    assert {each.id for each in (await readmodel.todos(world.h.db, contact)).items} == visible | {private.id}
    with pytest.raises(NotFound):
        await readmodel.todo(world.h.db, member, private.id)
    assert (await readmodel.todo(world.h.db, contact, private.id)).id == private.id
    told = {entry.subject_id for entry in (await readmodel.timeline(world.h.db, member, customer_id=customer.id)).items}
    assert private.id not in told
    assert shared.id in told
    own = await readmodel.timeline(world.h.db, contact)
    assert private.id in {entry.subject_id for entry in own.items}


async def test_what_a_to_do_said_before_it_was_shared_stays_private(world: World) -> None:
    customer = await world.customer(await world.merchant())
    private = todo(customer, title="Complain about the merchant")
    await world.hear(TodoCreated(state=private))
    shared = private.model_copy(update={"title": "Ask the merchant", "shared": True})
    await world.hear(TodoChanged(state=shared))
    entries = (await readmodel.timeline(world.h.db, member_of(customer), customer_id=customer.id)).items
    titles = [each.about.get("title") for each in entries if each.subject_id == private.id]
    assert titles == ["Ask the merchant"]


async def test_a_to_do_that_is_no_longer_shared_or_deleted_leaves_the_members_timeline(world: World) -> None:
    customer = await world.customer(await world.merchant())
    unshared, deleted = todo(customer, shared=True), todo(customer, "assigned")
    await world.hear(TodoCreated(state=unshared))
    await world.hear(TodoChanged(state=unshared.model_copy(update={"shared": False})))
    await world.hear(TodoAssigned(state=deleted))
    await world.hear(TodoDeleted(state=deleted.model_copy(update={"deleted": True, "title": None})))
    entries = (await readmodel.timeline(world.h.db, member_of(customer), customer_id=customer.id)).items
    assert [each for each in entries if each.subject_id in {unshared.id, deleted.id}] == []


async def test_mails_and_invitations_are_for_members_alone(world: World) -> None:
    customer = await world.customer(await world.merchant())
    invitation = Invitation(
        id=new_id(),
        merchant_id=customer.merchant_id,
        customer_id=CustomerId(customer.id),
        email="ada@example.com",
        role="owner",
        origin="merchant",
        status="pending",
        invited_by="Nora",
        expires_at=START + timedelta(days=7),
        created_at=START,
    )
    mail = Mail(
        id=new_id(),
        merchant_id=customer.merchant_id,
        customer_id=CustomerId(customer.id),
        template="invitation",
        subject_kind="invitation",
        subject_id=invitation.id,
        occasion="1",
        recipient="ada@example.com",
        status="accepted",
        message_id="<1@portal>",
        queued_at=START,
    )
    await world.hear(InvitationSent(state=invitation))
    await world.hear(MailAccepted(state=mail))
    member, contact = member_of(customer), contact_of(customer)
    assert [each.id for each in await readmodel.invitations(world.h.db, member, customer.id)] == [invitation.id]
    assert await readmodel.invitations(world.h.db, contact, customer.id) == ()
    assert await readmodel.mails_about(world.h.db, member, [invitation.id]) == {invitation.id: (mail,)}
    assert await readmodel.mails_about(world.h.db, contact, [invitation.id]) == {}
    assert {each.subject_id for each in (await readmodel.timeline(world.h.db, contact)).items} == {customer.id}


async def test_a_pay_link_shows_its_invoice_by_the_tokens_hash_alone(world: World) -> None:
    customer = await world.customer(await world.merchant())
    state = with_link(invoice(customer), digest("secret"))
    await world.hear(InvoiceOpened(state=state))
    assert await readmodel.invoice_by_link(world.h.db, digest("secret")) == state
    assert await readmodel.invoice_by_link(world.h.db, "secret") is None


# --- the timeline ---------------------------------------------------------------------------------------------------


async def test_the_timeline_says_what_happened_by_whom_and_because_of_what(world: World) -> None:
    customer = await world.customer(await world.merchant())
    person = await world.person("Ada", f"{new_id()}@example.com")
    bill = invoice(customer, number="INV-7")
    paid = invoice(customer, "paid", id=bill.id, number="INV-7")
    opened = envelope_of(InvoiceOpened(state=bill), clock=world.h.clock)
    world.h.clock.advance(timedelta(minutes=1))
    settled = envelope_of(InvoicePaid(state=paid), sequence=2, clock=world.h.clock)
    settled = settled.model_copy(update={"causationid": opened.id, "actor": f"contact:{person.id}"})
    # The later one comes first: the order of delivery decides nothing.
    await world.h.deliver(InvoicePaid(state=paid), envelope=settled)
    await world.h.deliver(InvoiceOpened(state=bill), envelope=opened)
    entries = (await readmodel.timeline(world.h.db, contact_of(customer))).items
    assert [each.type for each in entries] == [
        "billing.invoice.paid.v1",
        "billing.invoice.opened.v1",
        "identity.customer.created.v1",
    ]
    assert (entries[0].actor_kind, entries[0].actor_name, entries[0].about["number"]) == ("contact", "Ada", "INV-7")
    assert entries[0].because is not None
    assert (entries[0].because.type, entries[0].because.about["number"]) == ("billing.invoice.opened.v1", "INV-7")
    assert entries[1].because is None
    assert (await readmodel.invoice(world.h.db, contact_of(customer), bill.id)).status == "paid"


async def test_a_batch_in_which_a_newer_state_overtakes_keeps_every_line(world: World) -> None:
    customer = await world.customer(await world.merchant())
    bill = invoice(customer)
    events = [
        envelope_of(InvoiceOpened(state=bill), sequence=1),
        envelope_of(InvoiceVoided(state=bill.model_copy(update={"status": "void"})), sequence=2),
    ]
    follower = FOLLOWS[Invoice]
    assert isinstance(follower, EveryEvent)
    async with world.h.transaction() as tx:
        await upsert(tx, "billing.invoice", [seen_in(each) for each in events])
        await follower.run(tx, events)
    entries = (await readmodel.timeline(world.h.db, member_of(customer), customer_id=customer.id)).items
    assert {each.type for each in entries} >= {"billing.invoice.opened.v1", "billing.invoice.voided.v1"}


async def test_a_todo_that_follows_something_has_no_line_of_its_own_and_what_people_write_has(world: World) -> None:
    customer = await world.customer(await world.merchant())
    todos = {origin: todo(customer, origin=origin, title=origin) for origin in ("billing", "merchant", "assigned")}
    for each in todos.values():
        await world.hear(TodoCreated(state=each))
    done = todos["merchant"].model_copy(update={"status": "done"})
    await world.hear(TodoDone(state=done))
    for types in (None, news(member_of(customer))):
        entries = (
            await readmodel.timeline(world.h.db, member_of(customer), customer_id=customer.id, types=types)
        ).items
        told = {(each.type, each.about["title"]) for each in entries if each.type.startswith("todos.")}
        assert told == {("todos.todo.created.v1", "assigned"), ("todos.todo.done.v1", "merchant")}


async def test_a_draft_is_on_the_members_timeline_alone(world: World) -> None:
    customer = await world.customer(await world.merchant())
    await world.hear(InvoiceDrafted(state=invoice(customer, "draft")))
    members = (await readmodel.timeline(world.h.db, member_of(customer), customer_id=customer.id)).items
    contacts = (await readmodel.timeline(world.h.db, contact_of(customer))).items
    assert "billing.invoice.drafted.v1" in {each.type for each in members}
    assert {each.type for each in contacts} == {"identity.customer.created.v1"}


async def test_home_tells_news_however_much_that_is_none_came_after_it(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    await world.hear(InvoiceOpened(state=invoice(customer, number="INV-77")))
    changed = payment(invoice(customer), "processing")
    for _ in range(25):
        await world.hear(PaymentChanged(state=changed))
    member, contact = await world.member(merchant), await world.contact(customer)
    for who, path in (
        (contact, "/portal"),
        (member, "/console"),
        (member, f"/console/customers/{customer.id}/activity"),
    ):
        async with world.client(await world.sign_in(who)) as browser:
            assert "Invoice INV-77 for €119.00 issued" in (await browser.get(path)).text, path


async def test_the_timeline_pages_through_lines_of_the_same_moment(world: World) -> None:
    customer = await world.customer(await world.merchant())
    for _ in range(5):
        await world.hear(InvoiceOpened(state=invoice(customer)))
    seen, cursor = [], None
    while True:
        page = await readmodel.timeline(world.h.db, contact_of(customer), cursor=cursor, limit=2)
        seen += [each.id for each in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 6


# --- sums -----------------------------------------------------------------------------------------------------------

LIVES = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["draft", "open", "paid", "void", "uncollectible"]),
            st.integers(0, 500),
            st.integers(0, 3),
            st.sampled_from(["EUR", "JPY"]),
        ),
        min_size=1,
        max_size=4,
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lives=LIVES, seed=st.integers(0, 2**16), batch=st.integers(1, 5))
async def test_sums_are_those_of_the_newest_states_whatever_was_shuffled_and_repeated(
    world: World, lives: list[list[tuple[str, int, int, str]]], seed: int, batch: int
) -> None:
    customer = await world.customer(await world.merchant())
    chance = random.Random(seed)
    newest: list[Invoice] = []
    events: list[EventEnvelope] = []
    for life in lives:
        id_ = new_id()
        for sequence, (status, amount, day, currency) in enumerate(life):
            state = invoice(
                customer, status, id=id_, total=amount, currency=currency, due_on=date(2026, 3, 1) + timedelta(days=day)
            )
            events.append(envelope_of(InvoiceOpened(state=state), sequence=sequence))
        newest.append(state)
    events += chance.sample(events, len(events) // 2)
    chance.shuffle(events)
    for some in itertools.batched(events, batch) if hasattr(itertools, "batched") else _batched(events, batch):
        async with world.h.transaction() as tx:
            await upsert(tx, "billing.invoice", [seen_in(each) for each in some])
    today = START + timedelta(days=1)
    home = await readmodel.console_home(world.h.db, member_of(customer), now=today, time_zone="UTC")
    owed = [each for each in newest if each.status == "open"]
    assert {each.money.currency: (each.money.amount, each.invoices) for each in home.due} == _expected(owed)
    late = [each for each in owed if each.due_on < today.date()]
    assert {each.money.currency: (each.money.amount, each.invoices) for each in home.overdue} == _expected(late)
    portal = await readmodel.portal_home(world.h.db, contact_of(customer), today=START.date())
    assert {each.money.currency: (each.money.amount, each.invoices) for each in portal.due} == _expected(owed)


def _batched(events: list[EventEnvelope], size: int) -> list[list[EventEnvelope]]:
    return [events[at : at + size] for at in range(0, len(events), size)]


def _expected(invoices: list[Invoice]) -> dict[str, tuple[int, int]]:
    sums: dict[str, tuple[int, int]] = {}
    for each in invoices:
        amount, count = sums.get(each.currency, (0, 0))
        sums[each.currency] = (amount + each.amount_due, count + 1)
    return sums


async def hear_payments(world: World, *states: Payment) -> None:
    for state in states:
        await world.hear(PaymentChanged(state=state))


async def test_money_in_counts_by_the_merchants_own_days(world: World) -> None:
    customer = await world.customer(await world.merchant())
    bill = invoice(customer, "paid")
    # In India (UTC+05:30) the 2nd of March begins on the 1st at 18:30 UTC, amid an hour of UTC.
    midnight = START.replace(day=1, hour=18, minute=30)
    await hear_payments(
        world,
        payment(bill, amount=100, settled_at=midnight - timedelta(minutes=1)),
        payment(bill, amount=20, settled_at=midnight),
        payment(bill, amount=3, settled_at=midnight + timedelta(hours=5)),
        payment(bill, amount=5, currency="JPY", settled_at=midnight),
        payment(bill, "failed", amount=999),
    )
    now = START.replace(hour=6)
    home = await readmodel.console_home(world.h.db, member_of(customer), now=now, time_zone="Asia/Kolkata")
    assert home.today == date(2026, 3, 2)
    assert home.money_in_today == (Money(23, "EUR"), Money(5, "JPY"))
    assert home.money_in_this_month == (Money(123, "EUR"), Money(5, "JPY"))
    assert [(each.day.day, each.money.amount, each.payments) for each in home.days if each.money.currency == "EUR"] == [
        (1, 100, 1),
        (2, 23, 2),
    ]
    utc = await readmodel.console_home(world.h.db, member_of(customer), now=now, time_zone="UTC")
    assert utc.money_in_today == ()


async def test_a_payment_that_is_corrected_is_counted_once(world: World) -> None:
    customer = await world.customer(await world.merchant())
    attempt = payment(invoice(customer, "paid"), amount=100)
    await hear_payments(world, attempt.model_copy(update={"status": "processing"}), attempt, attempt)
    await world.hear(PaymentChanged(state=attempt.model_copy(update={"amount": 60})))
    home = await readmodel.console_home(world.h.db, member_of(customer), now=START, time_zone="Not/AZone")
    assert home.money_in_today == (Money(60, "EUR"),)
    assert [each.payments for each in home.days] == [1]


async def test_homes_show_what_matters(world: World) -> None:
    customer = await world.customer(await world.merchant())
    late, soon = invoice(customer, due_on=date(2026, 2, 1)), invoice(customer, due_on=date(2026, 4, 1), total=100)
    declined = soon.model_copy(update={"last_decline": Decline(code="card_declined", message="No.", at=START)})
    paid = invoice(customer, "paid")
    own = todo(customer)
    await world.hear(InvoiceOpened(state=late))
    await world.hear(InvoicePaymentDeclined(state=declined))
    await world.hear(InvoicePaid(state=paid))
    await world.hear(TodoCreated(state=own))
    portal = await readmodel.portal_home(world.h.db, contact_of(customer), today=START.date())
    assert [each.id for each in portal.open_invoices] == [late.id, soon.id]
    assert [each.id for each in portal.paid] == [paid.id]
    assert [each.id for each in portal.todos] == [own.id]
    assert [(each.money, each.invoices) for each in portal.due] == [(Money(12000, "EUR"), 2)]
    assert portal.overdue == 1
    assert len(portal.lately) == 5
    console = await readmodel.console_home(world.h.db, member_of(customer), now=START, time_zone="Europe/Berlin")
    assert [each.id for each in console.failing] == [soon.id]
    assert [(each.money, each.invoices) for each in console.overdue] == [(Money(11900, "EUR"), 1)]
    assert console.customers == 1


async def test_the_portals_home_counts_every_overdue_invoice_not_only_those_it_shows(world: World) -> None:
    customer = await world.customer(await world.merchant())
    for day in range(1, 8):
        await world.hear(InvoiceOpened(state=invoice(customer, due_on=date(2026, 2, day))))
    await world.hear(InvoiceOpened(state=invoice(customer, due_on=START.date())))
    await world.hear(InvoicePaid(state=invoice(customer, "paid", due_on=date(2026, 2, 1))))
    async with world.client(await world.sign_in(await world.contact(customer))) as browser:
        page = (await browser.get("/portal")).text
    assert "8 open invoices" in page
    assert "7 overdue" in page


async def test_replicas_that_upsert_the_same_sums_at_once_never_lock_crosswise(world: World) -> None:
    customer = await world.customer(await world.merchant())
    old = [invoice(customer, due_on=date(2026, 3, day)) for day in (1, 2, 3)]
    for state in old:
        await world.hear(InvoiceOpened(state=state))

    async def replica(seed: int) -> None:
        chance = random.Random(seed)
        for turn in range(25):
            # Each batch closes an old one and opens new ones: its update and its insert touch the days of the others'.
            states = [chance.choice(old).model_copy(update={"status": chance.choice(["open", "paid"])})]
            states += [invoice(customer, due_on=date(2026, 3, chance.choice((1, 2, 3)))) for _ in range(3)]
            async with world.h.transaction() as tx:
                events = [envelope_of(InvoiceOpened(state=state), sequence=10 + turn) for state in states]
                await upsert(tx, "billing.invoice", [seen_in(each) for each in events])

    await asyncio.gather(*(replica(seed) for seed in range(6)))
    owed = await world.h.db.fetchrow(
        "SELECT sum(amount_due)::bigint, count(*) FROM copy_invoice WHERE customer_id = $1 AND status = 'open'",
        customer.id,
    )
    portal = await readmodel.portal_home(world.h.db, contact_of(customer), today=START.date())
    assert owed is not None
    assert [(each.money.amount, each.invoices) for each in portal.due] == [tuple(owed)]
