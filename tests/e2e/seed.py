"""A merchant and a customer with something in every state, as the gateway's read model has them, and their pages."""

from __future__ import annotations

import base64
import dataclasses
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

from PIL import Image, ImageDraw

from chassis.clock import Clock
from chassis.database import Database, system_cause
from chassis.ids import new_id
from chassis.tokens import digest
from contracts.billing import (
    BeingPaid,
    Decline,
    Difference,
    Instalment,
    Invoice,
    LineItem,
    NotCompared,
    PayLink,
    Reconciliation,
    TaxLine,
)
from contracts.identity import Account, Person, SignedIn
from contracts.message import EVENTS, EventEnvelope, State
from contracts.todos import TodoSubject
from services.gateway import readmodel
from services.gateway.security.sessions import open_session
from tests import builders as make

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft mbH & Co. Verwaltungs-KG"


def event(state: State, type_: str | None = None, **about: Any) -> EventEnvelope:
    types = [name for name, event in EVENTS.items() if event.of() is type(state)]
    return EventEnvelope(
        id=about.pop("id", str(new_id())),
        type=f"{type(state).noun}.{type_}.v1" if type_ else types[0],
        source=f"/{type(state).owner()}",
        subject=str(state.id),
        time=about.pop("at", make.NOW - timedelta(minutes=5)),
        merchantid=state.merchant_id,
        sequence=1,
        correlationid=str(new_id()),
        actor=about.pop("actor", "system:billing"),
        data={"state": state.model_dump(mode="json")},
        **about,
    )


def _picture() -> str:
    image = Image.new("RGB", (160, 64), "#0f766e")
    draw = ImageDraw.Draw(image)
    draw.polygon([(20, 52), (44, 12), (68, 52)], fill="white")
    draw.rectangle((84, 26, 140, 38), fill="#99f6e4")
    content = io.BytesIO()
    image.save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


@dataclasses.dataclass
class Seed:
    """A merchant with a member and a customer with a contact; `full` adds something in every state."""

    locale: str = "en"
    long: bool = False
    events: list[EventEnvelope] = dataclasses.field(default_factory=list)
    tokens: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.merchant = make.merchant(
            name=LONG if self.long else "Northwind Studio", brand_colour="#facc15" if self.long else "#0f766e"
        )
        self.ada = make.person(locale=self.locale, time_zone="Europe/Berlin")
        self.sam = make.person(
            name="سامي العكفوري" if self.locale == "ar" else "Sam Okafor",
            email="sam@okafor.example",
            locale=self.locale,
            time_zone="Europe/London",
        )
        self.customer = make.customer(
            self.merchant, locale=self.locale, company=LONG if self.long else "Okafor Textiles"
        )
        self.tell(self.merchant, self.ada, self.sam, make.member(self.merchant, self.ada))
        self.tell(self.customer, make.contact(self.customer, self.sam))

    def tell(self, *states: State) -> None:
        self.events += [event(state, at=make.NOW - timedelta(days=80)) for state in states]

    def tell_as(self, state: State, type_: str, **about: Any) -> str:
        happened = event(state, type_, **about)
        self.events.append(happened)
        return happened.id

    def full(self) -> Invoice:
        """Invoices, payments, mails, to-dos and customers in every state; returns the open invoice."""
        self.tell(make.logo(self.merchant, _picture()))
        by_sam, by_ada = f"contact:{self.sam.id}", f"member:{self.ada.id}"
        invoices = self._invoices()
        for name, invoice in invoices.items():
            opened = self.tell_as(invoice, "opened" if invoice.number else "drafted", actor=by_ada)
            if name in {"open", "overdue", "failed_mail"}:
                status = "failed" if name == "failed_mail" else "accepted"
                sent = make.mail(invoice, status=status, reason="550 No such mailbox" if status == "failed" else None)
                self.tell_as(sent, status, causationid=opened)
        paid = invoices["paid"]
        payment = make.payment(paid, receipt_number="R-2041")
        received = self.tell_as(payment, "succeeded", at=make.NOW - timedelta(hours=2))
        self.tell_as(paid, "paid", at=make.NOW - timedelta(hours=2), causationid=received)
        for past in range(1, 28, 3):
            at = make.NOW - timedelta(days=past, hours=1)
            self.tell_as(make.payment(paid, at, amount=(past * 7919) % 90_000 + 4_000), "succeeded", at=at)
        self._returns(invoices["refunded"], by_ada)
        self._methods(by_sam)
        self._subscriptions(by_ada)
        self._todos(invoices["open"], paid, by_sam, by_ada)
        self._customers(by_ada)
        return invoices["open"]

    def _invoices(self) -> dict[str, Invoice]:
        of, decline = self.customer, Decline(code="insufficient_funds", message="Not enough money.", at=make.NOW)
        lines = (
            LineItem(description=LONG if self.long else "Brand workshop, two days", quantity=Decimal(2),
                     unit_amount=48_000, tax_rate=Decimal(19), amount=96_000),
            LineItem(description="Travel, by train", quantity=Decimal("1.5"), unit_amount=9_900, amount=14_850),
        )  # fmt: skip
        rich: dict[str, Any] = {
            "lines": lines,
            "subtotal": 110_850,
            "tax": 18_240,
            "tax_lines": (TaxLine(rate=Decimal(19), base=96_000, amount=18_240),),
            "memo": "Thank you for the good work together.\nPlease name the number of the invoice.",
        }
        unwanted = {
            "being_paid": BeingPaid(payment_id=new_id(), since=make.NOW - timedelta(minutes=7), by="Sam Okafor")
        }
        parts: dict[str, Any] = {
            "allow_partial": True,
            "amount_paid": 20_000,
            "amount_due": 40_000,
            "amount_processing": 15_000,
        }
        gone: dict[str, Any] = {"amount_due": 0, "closed_at": make.NOW}
        made = {
            "open": make.invoice(of, 129_090, token="open" * 10, number="INV-101", **rich),
            "overdue": make.invoice(of, 4_500, number="INV-98", due_on=make.due(-6), last_decline=decline),
            "paying": make.invoice(of, 25_000, token="paying" * 7, number="INV-102", due_on=make.due(0), **unwanted),
            "failed_mail": make.invoice(of, 99_900, number="INV-103", currency="JPY", due_on=make.due(30)),
            "paid": make.paid(make.invoice(of, 32_000, token="paid" * 10, number="INV-97")),
            "refunded": make.paid(make.invoice(of, 21_000, token="refunded" * 5, number="INV-95")).model_copy(
                update={"amount_refunded": 6_000, "amount_disputed": 9_000}
            ),
            "void": make.invoice(of, 7_000, token="void" * 10, number="INV-96", status="void", **gone),
            "given_up": make.invoice(of, 8_000, number="INV-90", status="uncollectible", **gone),
            "draft": make.invoice(of, 5_000, number=None, status="draft", link=None, opened_at=None),
            "declined": make.invoice(of, 2_500, token="declined" * 5, number="INV-104", last_decline=decline),
            "debited": make.invoice(
                of, 11_900, token="debit" * 8, number="INV-99", amount_processing=11_900, due_on=make.due(-1)
            ),
            "in_parts": make.invoice(of, 60_000, token="parts" * 8, number="INV-105", **parts),
        }
        links: dict[str, dict[str, Any]] = {
            "revoked": {"revoked": True},
            "expired": {"expires_at": make.NOW - timedelta(days=1)},
            "replaced": {"replaced_by": made["open"].id},
            "renewed": {"token_sha256": digest("a newer one"), "earlier_sha256": (digest("renewed" * 6),)},
        }
        for name, state in links.items():
            one = make.invoice(of, 1_000, token=name * 6, number=f"INV-8{len(made)}", status="open")
            assert one.link is not None
            link = PayLink.model_validate(one.link.model_dump() | state)
            made[name] = one.model_copy(update={"link": link, "due_on": make.due(40)})
        self.made = made
        return made

    def _returns(self, of: Invoice, by_ada: str) -> None:
        """Refunds in every state, a dispute, money to give back, and books that differ."""
        reason = LONG if self.long else "One day was not needed."
        refunds = [
            make.refund(of, 5_000, reason=reason),
            make.refund(of, 1_200, status="failed", failure="expired_or_canceled_card", credit_note_number="CN-4"),
            make.refund(of, 900, status="unknown", credit_note_number=None, issued_at=None, settled_at=None),
            make.refund(of, 100, begun_at_stripe=True, by=None, reason=None, credit_note_number="CN-5"),
        ]
        for refund, how in zip(refunds, ("succeeded", "failed", "changed", "succeeded"), strict=True):
            self.tell_as(refund, how, actor=by_ada)
        self.tell_as(make.payment(of, id=of.receipts[0].payment_id, amount_refunded=6_000), "changed")
        self.tell_as(make.payment(of, amount=7_500, surplus=True), "changed")
        self.tell_as(make.dispute(of, amount=9_000), "opened")
        differences = (
            Difference(
                code="not_in_our_books",
                what="payment",
                stripe_id="pi_3QxAbCdEfGhIjKl",
                amount=700,
                currency="EUR",
                since=make.NOW - timedelta(days=3),
            ),
            Difference(code="not_at_stripe", what="refund", stripe_id="re_3QxAbCdEfGhIjKl", amount=120, currency="EUR"),
        )
        resolved = differences[0].model_copy(update={"stripe_id": "pi_3QxOldAbCdEf", "resolved_at": make.NOW})
        id_ = self.merchant.id
        self.tell(
            Reconciliation(
                id=id_,
                merchant_id=id_,
                finished_at=make.NOW,
                compared=128,
                found=2,
                differences=differences,
                resolved=(resolved,),
                not_compared=("acct_1Qx",),
                why_not_compared=(NotCompared(account="acct_1Qx", why="account_closed"),),
            )
        )

    def _methods(self, by_sam: str) -> None:
        """A dead default that is charged, one that expires soon, one that has expired, a bank account."""
        of, today = self.customer, make.NOW.date()
        dead = make.payment_method(of, working=False, failure="stolen_card", in_use=True)
        soon = {"brand": "mastercard", "last4": "4444", "exp_month": today.month, "exp_year": today.year}
        bank = {"kind": "sepa_debit", "brand": None, "last4": "3000", "exp_month": None, "exp_year": None}
        self.method = make.payment_method(of, is_default=False, **soon)
        self.tell_as(self.method, "added", actor=by_sam)
        self.tell_as(make.payment_method(of, is_default=False, last4="0341", exp_month=1, exp_year=2020), "added")
        self.tell_as(make.payment_method(of, is_default=False, **bank), "added")
        died = self.tell_as(dead, "stopped_working")
        self.dead = dead
        about = TodoSubject(kind="payment_method", id=dead.id, label="4242")
        replace = make.todo(
            of, "Replace card ending 4242", origin="billing", subject=about, priority="high", due_on=None
        )
        self.tell_as(replace, "created", causationid=died)
        asked = TodoSubject(kind="request", id=new_id(), label="Website care")
        wish = {"subject": asked, "created_by": "Sam Okafor", "notes": "We are away in May.", "due_on": None}
        self.tell_as(make.todo(of, "Sam Okafor asks to pause Website care", origin="merchant", **wish), "created")

    def _subscriptions(self, by_ada: str) -> None:
        of, days = self.customer, make.due
        plan: dict[str, Any] = {"kind": "payment_plan", "interval": None, "current_period": None}
        parts = tuple(
            Instalment(number=n, due_on=days(30 * n), was_due_on=days(30 * n - 21), amount=30_000, status="planned")
            for n in range(2, 4)
        )
        first = Instalment(number=1, due_on=days(-10), amount=30_000, status="invoiced")
        sold = LONG if self.long else "Brand workshop, two days"
        pending: dict[str, Any] = {"status": "pending", "accepted_at": None, "anchor_on": None, "next_charge": None}
        pending |= {"current_period": None, "charges_made": 0, "charges_paid": 0}
        rights: dict[str, Any] = {"allow_customer_cancel": True, "allow_customer_pause": True}
        waiting = make.subscription(of, 4_900, title="Care plan", ends_after=12, **pending, **rights)
        asked = make.invoice(of, 4_900, token="agree" * 8, number="INV-105", subscription_id=waiting.id)
        ending: dict[str, Any] = {"cancel_on": days(20), "next_charge": None}
        over: dict[str, Any] = {"status": "cancelled", "ended_on": days(-60), "next_charge": None}
        self.agreed = {
            "running": make.subscription(of, title=LONG if self.long else "Hosting, small", minimum_payments=6, **rights),
            "late": make.subscription(of, 990, title="Backups"),
            "ending": make.subscription(of, 2_900, title="Newsletter", cancel_reason="Too dear.", **ending, **rights),
            "plan": make.subscription(
                of, 90_000, title=sold, status="paused", paused_on=days(-1), resumes_on=days(20),
                instalments=(first, *parts), **plan, **rights,
            ),
            "pending": waiting.model_copy(update={"first_invoice_id": asked.id}),
            "trial": make.subscription(
                of, 1_900, title="Statistics", trial_days=14,
                link=PayLink(token_sha256=digest("offer" * 8), earlier_sha256=(digest("newer" * 8),)), **pending,
            ),
            "shut": make.subscription(
                of, 1_900, title="Search words", trial_days=14,
                link=PayLink(token_sha256=digest("shut" * 8), revoked=True), **pending,
            ),
            "lapsed": make.subscription(
                of, 1_900, title="Translations", trial_days=14,
                link=PayLink(token_sha256=digest("lapsed" * 8), expires_at=make.NOW), **pending,
            ),
            "own card": make.subscription(of, 500, title="Mailbox", payment_method_id=self.method.id, **rights),
            "over": make.subscription(of, 700, title="Old hosting", **over),
        }  # fmt: skip
        overdue = make.invoice(of, 990, number="INV-106", subscription_id=self.agreed["late"].id, due_on=days(-3))
        instalment = make.invoice(of, 30_000, number="INV-107", subscription_id=self.agreed["plan"].id, instalment=1)
        for bill in (asked, overdue, make.paid(instalment)):
            self.tell_as(bill, "opened", actor=by_ada)
        for name, each in self.agreed.items():
            self.tell_as(each, "cancelled" if name == "over" else "created", actor=by_ada)

    def _todos(self, invoice: Invoice, paid: Invoice, by_sam: str, by_ada: str) -> None:
        of = self.customer
        bill: dict[str, Any] = {
            "kind": "invoice",
            "id": invoice.id,
            "label": invoice.number,
            "amount": 129_090,
            "currency": "EUR",
        }
        settled = bill | {"id": paid.id, "label": paid.number, "amount": 32_000}
        own = {"origin": "own", "created_by": "Sam Okafor"}
        self.assigned = make.todo(of, priority="high", notes="Both pages, please.\nA scan is good enough.")
        self.own = make.todo(of, LONG if self.long else "Ask for the quarterly statement", due_on=None, **own)
        self.tell_as(self.assigned, "assigned", actor=by_ada)
        self.tell_as(self.own, "created", actor=by_sam)
        self.tell_as(make.todo(of, "Check the delivery address", due_on=make.due(-2), shared=True, **own), "created")
        self.tell_as(
            make.todo(of, "Pay INV-101", origin="billing", subject=TodoSubject.model_validate(bill)), "created"
        )
        done = {"status": "done", "done_at": make.NOW - timedelta(hours=2), "done_by": "Sam Okafor"}
        self.tell_as(make.todo(of, "Confirm the colours", **done), "done", actor=by_sam)
        self.tell_as(
            make.todo(of, "Pay INV-97", origin="billing", subject=TodoSubject.model_validate(settled), **done), "done"
        )

    def _customers(self, by_ada: str) -> None:
        self.invited = make.customer(
            self.merchant, name="Mia Keller", company=None, email="mia@keller.example", portal_access="invited"
        )
        self.tell_as(self.invited, "created", actor=by_ada)
        invitation = make.invitation(self.invited)
        sent = self.tell_as(invitation, "sent", actor=by_ada)
        self.tell_as(make.mail(invitation, recipient="mia@keller.example"), "accepted", causationid=sent)
        self.fresh = make.customer(
            self.merchant,
            name="Noor Haddad",
            company=None,
            email="noor.haddad.with.a.rather.long.address@haddad-and-daughters.example",
            phone=None,
            tax_ids=(),
            portal_access="none",
        )
        self.tell_as(self.fresh, "created", actor=by_ada)
        for number in range(26):
            one = make.customer(self.merchant, name=f"Customer {number}", company=None, portal_access="none")
            self.tell_as(one, "created", at=make.NOW - timedelta(days=60), actor=by_ada)

    async def write(self, url: str) -> None:
        """Bring everything into the read model the way replies and followers do, and sign both people in."""
        async with Database(url, "gateway", Clock()) as db:
            cause = system_cause("gateway")
            async with db.transaction(cause) as tx:
                await readmodel.apply(tx, self.events)
            for who, name in ((self.ada, "member"), (self.sam, "contact")):
                self.tokens[name] = await self._sign_in(db, who, self._accounts()[name])

    def _accounts(self) -> dict[str, Account]:
        merchant, customer = self.merchant, self.customer
        shared = {"merchant_id": merchant.id, "merchant_name": merchant.name}
        return {
            "member": Account.model_validate(
                {"id": merchant.id, "kind": "merchant", "name": merchant.name, "role": "admin"} | shared
            ),
            "contact": Account.model_validate(
                {"id": customer.id, "kind": "customer", "name": customer.name, "role": "owner"} | shared
            ),
        }

    async def _sign_in(self, db: Database, who: Person, account: Account) -> str:
        signed_in = SignedIn.model_validate(
            {"person_id": who.id, "name": who.name, "email": who.email, "locale": who.locale,
             "time_zone": who.time_zone, "accounts": (account,)}
        )  # fmt: skip
        agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/139.0 Safari/537.36"
        return await open_session(db, signed_in, now=make.NOW, user_agent=agent, account=account)


VISITOR = [
    "/sign-in",
    "/invitations/live-invitation-of-somebody-new",
    "/invitations/known-invitation-of-a-known-person",
    *(f"/invitations/{why}-invitation-link-of-old" for why in ("accepted", "expired", "revoked", "superseded", "unknown")),
    *(f"/pay/{name}" for name in ("open" * 10, "paying" * 7, "paid" * 10, "void" * 10, "declined" * 5, "parts" * 8, "debit" * 8)),
    f"/pay/{'open' * 10}?paid=confirming",
    *(f"/pay/{name * 8}" for name in ("agree", "offer", "newer", "shut", "lapsed")),
    f"/pay/{'lapsed' * 8}?done=fresh-link",
    *(f"/pay/{name * 6}" for name in ("revoked", "expired", "renewed", "replaced", "unknown")),
    f"/pay/{'expired' * 6}?done=fresh-link",
    "/nowhere",
]  # fmt: skip


def pages_of(seed: Seed, *, full: bool) -> dict[str, list[str]]:
    """The addresses of every page, by who may see them."""
    at = f"/console/customers/{seed.customer.id}"
    contact = [
        "/portal",
        "/portal/payments",
        "/portal/subscriptions",
        "/portal/todos",
        "/portal/profile",
        "/portal/nowhere",
    ]
    contact += ["/portal/payments/statement", "/portal/payments/statement?from=2026-01-31&to=2026-01-01"]
    member = [
        *("/console", "/console/customers", "/console/customers?q=zzz", "/console/customers/new", "/console/settings"),
        *("/console/profile", at, f"{at}/edit", f"{at}/payments", f"{at}/todos", f"{at}/activity"),
        f"{at}/subscriptions",
        *(f"{at}/payment-links/new", f"{at}/statement", "/console/settings/billing"),
    ]
    if not full:
        return {"contact": contact, "member": member}
    shown = ("open", "overdue", "paying", "paid", "refunded", "void", "declined", "in_parts", "debited")
    contact += [f"/portal/payments/{seed.made[name].id}" for name in shown]
    contact += [f"/portal/payments/{seed.made['open'].id}?paid=confirming", f"/portal/todos/{seed.own.id}"]
    contact += ["/portal/payment-methods", "/portal/payment-methods/saving?since=1&added=confirming"]
    contact += [f"/portal/payment-methods/saving?since={int(make.NOW.timestamp()) + 10**6}&added=confirming"]
    contact += [f"/portal/payment-methods/{each.id}{to}" for each in (seed.method, seed.dead) for to in ("", "/remove")]
    for side, paths in (("portal", contact), ("console", member)):
        paths += [f"/{side}/subscriptions/{each.id}" for each in seed.agreed.values()]
        changed = seed.agreed["running"].id, seed.agreed["plan"].id
        paths += [f"/{side}/subscriptions/{changed[0]}/cancel", f"/{side}/subscriptions/{changed[1]}/resume"]
        paths += [f"/{side}/subscriptions/{seed.agreed['late'].id}/pause?until=2020-01-01"]
    contact += [f"/portal/subscriptions/{seed.agreed['running'].id}/ask"]
    member += [f"/console/invoices/{invoice.id}" for invoice in seed.made.values()]
    member += [f"/console/subscriptions/{seed.agreed['trial'].id}/link"]
    member += [f"/console/invoices/{seed.made['open'].id}/{page}" for page in ("link", "replacements/new")]
    member += [f"/console/invoices/{seed.made[name].id}/refunds/new" for name in ("refunded", "open")]
    member += [f"/console/customers/{each.id}" for each in (seed.invited, seed.fresh)]
    member += [f"/console/customers/{seed.fresh.id}/{tab}" for tab in ("payments", "todos", "activity")]
    return {"visitor": VISITOR, "contact": contact, "member": member}
