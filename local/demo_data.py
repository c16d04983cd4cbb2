"""A merchant's first weeks, made through the public API: customers, invoices in every state, to-dos.

Run by `make up` once: `python -m local.demo_data`, with the state file named by PORTAL_STATE.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from local.demo_logo import logo_png
from local.portal_client import ApiError, Json, Mailbox, Portal, link_in, pay_at_checkout, token_in

GOOD_CARD = "4242424242424242"
DECLINED_CARD = "4000000000000002"

# (name, company, e-mail's first part, city, country, locale)
PEOPLE: tuple[tuple[str, str | None, str, str, str, str], ...] = (
    ("Clara Ahlers", "Ahlers Books", "customer", "Bremen", "DE", "en"),
    ("Jonas Weidner", "Weidner & Söhne GmbH", "jonas.weidner", "Hamburg", "DE", "de"),
    ("Amélie Fournier", "Atelier Fournier", "amelie.fournier", "Lyon", "FR", "en"),
    ("Layla Haddad", "Haddad Trading", "layla.haddad", "Dubai", "AE", "ar"),
    ("Tom Whitaker", "Whitaker Catering Ltd", "tom.whitaker", "Leeds", "GB", "en-GB"),
    ("Ingrid Solberg", "Fjordkaffe AS", "ingrid.solberg", "Bergen", "NO", "en"),
    ("Mateus Oliveira", None, "mateus.oliveira", "Porto", "PT", "en"),
    ("Yuki Tanaka", "Tanaka Design", "yuki.tanaka", "Osaka", "JP", "en"),
    (
        "Friederike Donaudampfschifffahrt",
        "Donaudampfschifffahrtsgesellschaft mbH & Co. KG",
        "f.donau",
        "Passau",
        "DE",
        "de",
    ),
    ("Sam Okafor", "Okafor Events", "sam.okafor", "London", "GB", "en-GB"),
    ("Nina Keller", "Keller Yoga", "nina.keller", "Zürich", "CH", "de"),
    ("Pedro Álvarez", "Álvarez Eventos", "pedro.alvarez", "Sevilla", "ES", "en"),
)


class Demo:
    """One run over the public API."""

    def __init__(self, state: Json, email: str, password: str) -> None:
        self.admin = Portal(state["urls"]["gateway"]).sign_in(**state["credentials"]["admin"])
        self.mailbox = Mailbox(state["urls"]["mailbox"]) if state["urls"]["mailbox"] else None
        self.email, self.password = email, password
        self.today = datetime.now(UTC).date()

    def day(self, offset: int) -> str:
        """A date relative to today."""
        return (self.today + timedelta(days=offset)).isoformat()

    def branding(self) -> None:
        """Logo, colour and support contact."""
        self.admin.call(
            "PATCH",
            "/merchant",
            {
                "brand_colour": "#0f5c4d",
                "support_email": "help@cafe-nord.example",
                "support_phone": "+49 421 5550 123",
                "address": {"line1": "Am Speicher 4", "postal_code": "28217", "city": "Bremen", "country": "DE"},
                "tax_id": "DE123456789",
                "time_zone": "Europe/Berlin",
            },
            key="demo-branding",
        )
        self.admin.upload("/merchant/logo", logo_png(), "image/png")

    def customers(self) -> list[Json]:
        """A dozen of them; the first can sign in."""
        made = []
        for name, company, first, city, country, locale in PEOPLE:
            email = self.email if first == "customer" else f"{first}@example.com"
            body: Json = {"name": name, "company": company, "email": email, "locale": locale}
            body["billing_address"] = {"line1": "Marktplatz 1", "city": city, "country": country}
            made.append(self.admin.call("POST", "/customers", body, key=f"demo-customer-{first}"))
        return made

    def link(
        self, customer: Json, key: str, lines: list[tuple[str, str, int]], due: int | None = None, **more: Any
    ) -> Json:
        """A payment link with (description, quantity, unit amount) lines; 19 % tax unless `tax` says otherwise."""
        tax = more.pop("tax", "19")
        body: Json = {
            "currency": more.pop("currency", "EUR"),
            "lines": [
                {"description": text, "quantity": quantity, "unit_amount": amount, "tax_rate": tax}
                for text, quantity, amount in lines
            ],
            "send_email": False,
            **({} if due is None else {"due_on": self.day(due)}),
            **more,
        }
        made: Json = self.admin.call("POST", f"/customers/{customer['id']}/payment-links", body, key=f"demo-link-{key}")
        return made

    def invite(self, customer: Json) -> Portal:
        """Send Invite, read the mail, accept: the first customer's portal."""
        assert self.mailbox is not None
        self.admin.call("POST", f"/customers/{customer['id']}/invitations", {}, key=f"demo-invite-{customer['id']}")
        mail = self.mailbox.wait(customer["email"], "/invitations/", seconds=30)
        token = token_in(link_in(mail, "/invitations/"))
        return Portal(self.admin.base).accept(token, customer["name"], self.password)

    def pay(self, portal: Portal, invoice: Json, *cards: str) -> None:
        """Pay an invoice through the hosted page, with one card after the other."""
        checkout = portal.call("POST", f"/invoices/{invoice['id']}/pay", {}, key=f"demo-pay-{invoice['id']}")
        for card in cards:
            pay_at_checkout(checkout["checkout_url"], card)

    def invoices(self, customers: list[Json], portal: Portal | None) -> None:
        """Draft, open, overdue, paid, declined, void and uncollectible ones."""
        clara, jonas, amelie, layla, tom, ingrid, mateus, yuki, donau, sam, nina, pedro = customers
        if portal is not None:
            for key, text, amount in (("beans", "Espresso beans, 1 kg", 2890), ("course", "Barista course", 14900)):
                self.pay(portal, self.link(clara, key, [(text, "2", amount)], 14), GOOD_CARD)
            self.pay(
                portal, self.link(clara, "milk", [("Oat milk, crate of 12", "3", 2388)], 7, tax="7"), DECLINED_CARD
            )
        self.link(clara, "catering", [("Catering, reading night", "1", 32000), ("Waiters, hours", "4.5", 3200)], 10)
        self.link(
            clara, "cups", [("Porcelain cups, set of 6", "4", 4900)], 21, memo="Thank you for the long friendship."
        )
        self.link(jonas, "machine", [("Portafilter machine, rental, November", "1", 18900)], -12)
        self.link(jonas, "service", [("Maintenance visit", "1", 9500)], 5, send_email=True)
        self.link(amelie, "draft", [("Opening night catering", "1", 84000)], 30, draft=True)
        gone = self.link(layla, "void", [("Saffron syrup, case", "2", 7600)], 12)
        self.admin.call("POST", f"/invoices/{gone['id']}/void", {}, key="demo-void")
        self.link(layla, "syrup", [("Saffron syrup, case", "3", 7600)], 12, tax="0")
        lost = self.link(tom, "lost", [("Wedding coffee bar", "1", 62000)], -60, tax="20", currency="GBP")
        self.admin.call("POST", f"/invoices/{lost['id']}/give-up", {}, key="demo-give-up")
        self.link(ingrid, "filter", [("Filter papers, 1,000", "6", 1450)], -3, currency="NOK", tax="25")
        self.link(mateus, "workshop", [("Latte art workshop", "1", 7900)], 9, send_email=True)
        self.link(yuki, "posters", [("Poster, signed", "2", 4800)], 18, currency="JPY", tax="10")
        long = "Wiederaufbereitung der historischen Schiffskaffeemaschine einschließlich aller Dichtungen und Ventile"
        self.link(donau, "ship", [(long, "1", 1249900), ("Anfahrt, Kilometer", "186.5", 52)], 25)
        self.link(sam, "festival", [("Festival stand, weekend", "2", 41000)], 2, currency="GBP", tax="20")
        self.link(nina, "tea", [("Tea selection", "5", 1290)], -1, currency="CHF", tax="8.1")
        self.link(pedro, "beans-pedro", [("Espresso beans, 1 kg", "10", 2490)], 15)

    def subscriptions(self, customers: list[Json], portal: Portal | None) -> None:
        """A subscription and a payment plan that run, one that waits for its customer, one with a trial."""
        clara, jonas, _, _, _, _, _, _, _, sam, _, _ = customers
        self.admin.call(
            "PATCH", "/billing-defaults", {"tax_rate": "19", "allow_customer_pause": True}, key="demo-defaults"
        )
        monthly: dict[str, Any] = {"kind": "recurring", "interval": {"unit": "month", "count": 1}}
        beans = self.link(
            clara, "club", [("Coffee club, 2 kg a month", "1", 5600)], **monthly, allow_customer_cancel=True
        )
        plan: dict[str, Any] = {
            "kind": "payment_plan",
            "instalments": {"count": 3, "interval": {"unit": "month", "count": 1}},
        }
        machine = self.link(clara, "plan", [("Portafilter machine", "1", 249000)], **plan)
        if portal is not None:
            for agreed in (beans, machine):
                self.pay(portal, {"id": agreed["first_invoice_id"]}, GOOD_CARD)
        self.link(
            jonas, "care", [("Machine care, yearly", "1", 24000)], **monthly | {"trial_days": 14}, send_email=True
        )
        self.link(sam, "van", [("Coffee van, weekly rent", "1", 35000)], kind="recurring",
                  interval={"unit": "week", "count": 1}, ends={"after": 10}, currency="GBP", tax="20")  # fmt: skip

    def afterwards(self, customers: list[Json]) -> None:
        """Part of what the first customer paid is given back, and an invoice may be paid in parts."""
        clara, nina = customers[0], customers[10]
        paid = self.admin.call("GET", "/invoices", customer_id=clara["id"], status="paid")["items"]
        course = [each for each in paid if each["lines"][0]["description"] == "Barista course"]
        for invoice in course:
            body: Json = {"amount": 14900, "reason": "One participant was ill."}
            self.admin.call("POST", f"/invoices/{invoice['id']}/refunds", body, key="demo-refund")
        self.link(
            nina, "furniture", [("Terrace furniture, used", "1", 96000)], 30, currency="CHF", tax="8.1", partial=True
        )

    def todos(self, customers: list[Json], portal: Portal | None) -> None:
        """Assigned ones, and the customer's own."""
        clara, jonas = customers[0], customers[1]
        for customer, title, due in (
            (clara, "Send us the guest list for the reading night", 6),
            (clara, "Choose the cake", 8),
            (jonas, "Tell us the serial number of your machine", 3),
        ):
            body = {"customer_id": customer["id"], "title": title, "due_on": self.day(due)}
            self.admin.call("POST", "/todos", body, key=f"demo-todo-{title}"[:200].replace(" ", "-"))
        if portal is not None:
            for title in ("Compare oat milks", "Ask about a second grinder"):
                body = {"customer_id": clara["id"], "title": title, "shared": title.startswith("Ask")}
                portal.call("POST", "/todos", body, key=f"demo-own-{title}".replace(" ", "-"))


def main() -> None:
    """Make the demo data, with a line per step; the first that is refused ends it in one line."""
    try:
        make()
    except ApiError as refused:
        sys.exit(f"The portal refused a step of the demo data: {refused}")


def make() -> None:
    """Every step in order. Each has a key of its own, so that a second run finishes what a first one began."""
    state = json.loads(Path(os.environ.get("PORTAL_STATE", ".local/state.json")).read_text())
    email = os.environ.get("PORTAL_DEMO_CUSTOMER_EMAIL", "customer@example.com")
    demo = Demo(state, email, os.environ["PORTAL_DEMO_CUSTOMER_PASSWORD"])
    demo.branding()
    print("  branding: logo, colour, support contact", flush=True)
    customers = demo.customers()
    print(f"  {len(customers)} customers", flush=True)
    portal = demo.invite(customers[0]) if demo.mailbox else None
    print(
        f"  {customers[0]['name']} has accepted an invitation" if portal else "  no mailbox here: nobody is invited",
        flush=True,
    )
    demo.invoices(customers, portal)
    print("  invoices in every state", flush=True)
    demo.subscriptions(customers, portal)
    print("  subscriptions and a payment plan", flush=True)
    demo.afterwards(customers)
    print("  money given back", flush=True)
    demo.todos(customers, portal)
    print("  to-dos, own and assigned", flush=True)


if __name__ == "__main__":
    main()
