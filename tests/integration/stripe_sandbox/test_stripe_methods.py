"""Saved methods: attached, changed, made default, detached, and changed by their bank."""

from typing import Any

import pytest
import stripe

from tests.integration.stripe_sandbox.cards import charge, customer_with_card, new_customer
from tests.integration.stripe_sandbox.sandbox import Running
from tests.integration.stripe_sandbox.shapes import misfits


async def test_expiry_and_billing_details_are_changed_and_told(sandbox: Running) -> None:
    _, method = await customer_with_card(sandbox, "pm_card_visa")
    methods = sandbox.stripe.v1.payment_methods
    change: Any = {
        "card": {"exp_month": 3, "exp_year": 2040},
        "billing_details": {"name": "Ada", "email": "ada@example.org", "address": {"city": "Bonn"}},
    }
    changed: Any = await methods.update_async(method, change)
    assert (changed.card.exp_month, changed.card.exp_year) == (3, 2040)
    assert (changed.billing_details.name, changed.billing_details.address.city) == ("Ada", "Bonn")
    assert misfits(changed.to_dict(), stripe.PaymentMethod) == []
    moved: Any = await methods.update_async(
        method, {"billing_details": {"address": {"line1": "Am Markt 1"}, "email": ""}}
    )
    assert (moved.billing_details.address.city, moved.billing_details.address.line1) == ("Bonn", "Am Markt 1")
    assert (moved.billing_details.name, moved.billing_details.email) == ("Ada", None)
    types = ["payment_method.attached", "payment_method.updated", "payment_method.updated"]
    await sandbox.receiver.until_types(method, types)
    before = sandbox.receiver.about(method)[1]["data"]["previous_attributes"]
    assert (before["card"]["exp_month"], before["card"]["exp_year"]) == (12, 2034)


@pytest.mark.parametrize(
    ("card", "code"), [({"exp_month": 13}, "invalid_expiry_month"), ({"exp_year": 2020}, "invalid_expiry_year")]
)
async def test_an_impossible_expiry_is_refused_as_a_card_error(sandbox: Running, card: Any, code: str) -> None:
    _, method = await customer_with_card(sandbox, "pm_card_visa")
    with pytest.raises(stripe.CardError) as refused:
        await sandbox.stripe.v1.payment_methods.update_async(method, {"card": card})
    assert (refused.value.http_status, refused.value.code) == (402, code)
    found: Any = await sandbox.stripe.v1.payment_methods.retrieve_async(method)
    assert (found.card.exp_month, found.card.exp_year) == (12, 2034)


async def test_a_method_of_nobody_cannot_be_changed(sandbox: Running) -> None:
    methods = sandbox.stripe.v1.payment_methods
    made = await methods.create_async(
        {"type": "card", "card": {"number": "4242424242424242", "exp_month": 1, "exp_year": 2040, "cvc": "123"}}
    )
    with pytest.raises(stripe.InvalidRequestError, match="save this PaymentMethod to a customer"):
        await methods.update_async(made.id, {"metadata": {"a": "b"}})


@pytest.mark.parametrize(
    "card",
    [
        "pm_card_visa_chargeDeclined",
        "pm_card_visa_chargeDeclinedInsufficientFunds",
        "pm_card_chargeDeclinedExpiredCard",
    ],
)
async def test_a_card_that_declines_cannot_be_attached(sandbox: Running, card: str) -> None:
    customer = await new_customer(sandbox)
    with pytest.raises(stripe.CardError) as declined:
        await sandbox.stripe.v1.payment_methods.attach_async(card, {"customer": customer})
    assert declined.value.http_status == 402
    assert (await sandbox.stripe.v1.customers.payment_methods.list_async(customer)).data == []


async def test_the_default_method_is_one_of_the_customers_own(sandbox: Running) -> None:
    customer, method = await customer_with_card(sandbox, "pm_card_visa")
    _, foreign = await customer_with_card(sandbox, "pm_card_visa")
    customers = sandbox.stripe.v1.customers
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await customers.update_async(customer, {"invoice_settings": {"default_payment_method": foreign}})
    assert refused.value.param == "invoice_settings[default_payment_method]"
    changed: Any = await customers.update_async(customer, {"invoice_settings": {"default_payment_method": method}})
    assert changed.invoice_settings.default_payment_method == method
    assert misfits(changed.to_dict(), stripe.Customer) == []
    expanded: Any = await customers.retrieve_async(customer, {"expand": ["invoice_settings.default_payment_method"]})
    assert expanded.invoice_settings.default_payment_method.card.last4 == "4242"

    await sandbox.stripe.v1.payment_methods.detach_async(method)
    after: Any = await customers.retrieve_async(customer)
    assert after.invoice_settings.default_payment_method is None
    assert (await customers.payment_methods.list_async(customer)).data == []
    await sandbox.receiver.until_types(
        customer,
        [
            "customer.created",
            "payment_method.attached",
            "customer.updated",
            "customer.updated",
            "payment_method.detached",
        ],
    )


async def test_a_customers_methods_are_listed_newest_first_in_pages(sandbox: Running) -> None:
    customer = await new_customer(sandbox)
    methods = sandbox.stripe.v1.payment_methods
    made = [(await methods.attach_async("pm_card_visa", {"customer": customer})).id for _ in range(3)]
    debit = (await methods.attach_async("pm_success_de", {"customer": customer})).id
    cards = await methods.list_async({"customer": customer, "type": "card", "limit": 2})
    assert ([item.id for item in cards.data], cards.has_more) == ([made[2], made[1]], True)
    everything = await sandbox.stripe.v1.customers.payment_methods.list_async(customer)
    assert [item.id for item in everything.data] == [debit, *reversed(made)]
    own = await sandbox.stripe.v1.customers.payment_methods.retrieve_async(customer, made[0])
    assert own.id == made[0]


async def test_a_bank_changes_its_mind_about_a_saved_card(sandbox: Running) -> None:
    customer, method = await customer_with_card(sandbox, "pm_card_visa")
    await sandbox.control("POST", f"/payment_methods/{method}", behaves_like="4000000000009995")
    with pytest.raises(stripe.CardError) as declined:
        await charge(sandbox, customer, method)
    error: Any = declined.value.error
    assert error.decline_code == "insufficient_funds"
    assert error.payment_intent.last_payment_error.payment_method.card.last4 == "4242"
    await sandbox.control("POST", f"/payment_methods/{method}", behaves_like="4242424242424242")
    assert (await charge(sandbox, customer, method)).status == "succeeded"


async def test_a_replaced_card_is_told_by_its_network(sandbox: Running) -> None:
    _, method = await customer_with_card(sandbox, "pm_card_visa")
    await sandbox.control("POST", f"/payment_methods/{method}", exp_month=6, exp_year=2041, last4="1881")
    found: Any = await sandbox.stripe.v1.payment_methods.retrieve_async(method)
    assert (found.card.last4, found.card.exp_month, found.card.exp_year) == ("1881", 6, 2041)
    await sandbox.receiver.until_types(method, ["payment_method.attached", "payment_method.automatically_updated"])
