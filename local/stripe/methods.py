"""Payment methods: made, found, attached, and the test card or account behind each."""

from typing import Any

from local.stripe import debits
from local.stripe.cards import BY_TOKEN, CardDetails, Decline, TestCard, card_of
from local.stripe.debits import DebitDetails, TestAccount, account_of
from local.stripe.errors import StripeError
from local.stripe.shapes import card_method_shape, debit_method_shape
from local.stripe.work import Work

Json = dict[str, Any]
Details = CardDetails | DebitDetails

_DEFAULT_EXPIRY = (12, 2034)


def new_method(work: Work, details: Details, billing: Json | None = None) -> Json:
    """A payment method, attached to nobody."""
    if isinstance(details, DebitDetails):
        return work.insert(debit_method_shape(work, details, billing or {}), iban=details.account.iban)
    return work.insert(card_method_shape(work, details, billing or {}), number=details.card.number)


def method_of(work: Work, name: str, param: str, *, status: int = 400) -> Json:
    """A payment method by id, or a fresh one for a test name like `pm_card_visa` or `pm_success_de`.

    Raises:
        StripeError: `resource_missing`.
    """
    if name in BY_TOKEN:
        return new_method(work, CardDetails(BY_TOKEN[name], *_DEFAULT_EXPIRY))
    if name in debits.BY_TOKEN:
        return new_method(work, DebitDetails(debits.BY_TOKEN[name], "Jenny Rosen"))
    return work.fetch("payment_method", name, param, status=status, noun="PaymentMethod")


def behind(work: Work, method: Json) -> TestCard | TestAccount:
    """The card or account that decides."""
    private = work.private(method["id"])
    return account_of(private["iban"]) if "iban" in private else card_of(private["number"])


def attach(work: Work, method: Json, customer: str) -> Json:
    """Ties a payment method to a customer for later charges."""
    if method["customer"] != customer:
        method["customer"] = customer
        work.save(method)
        work.emit("payment_method.attached", method)
    return method


def save_for_later(work: Work, method: Json, customer: str | None, usage: str) -> None:
    """What follows a setup, or a payment with `setup_future_usage`: the method is the customer's, and authenticated."""
    work.remember(method["id"], set_up=usage == "off_session")
    if customer is None:
        return
    if method["allow_redisplay"] == "unspecified":
        method["allow_redisplay"] = "limited"
        work.save(method)
    attach(work, method, customer)


def check_usable(work: Work, method: Json, customer: str | None, noun: str) -> None:
    """Whether an intent of this customer may use the method; `noun` is what the error calls the intent.

    Raises:
        StripeError: used up, detached, or somebody else's.
    """
    if method["customer"] is None and work.private(method["id"]).get("used"):
        raise StripeError(
            400,
            f"The provided PaymentMethod was previously used with a {noun} without Customer attachment, shared "
            "with a connected account without Customer attachment, or was detached from a Customer. It may not be "
            "used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.",
        )
    if method["customer"] is not None and customer is None:
        raise StripeError(
            400,
            f"The PaymentMethod {method['id']} belongs to the Customer {method['customer']}. Please include the "
            f"Customer in the `customer` parameter on the {noun}.",
            param="payment_method",
        )
    if method["customer"] not in (None, customer):
        raise not_theirs(method["id"], "payment_method")


def not_theirs(method: str, param: str) -> StripeError:
    """The refusal of a method that another customer has, or nobody."""
    return StripeError(
        400,
        f"The customer does not have a payment method with the ID {method}. The payment method must be attached to the "
        "customer.",
        code="resource_missing",
        param=param,
    )


def last_error(decline: Decline, method: Json, charge: str | None = None) -> Json:
    """`last_payment_error` or `last_setup_error`; also the `error` of the 402."""
    error = {
        "charge": charge,
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": method,
        "type": "card_error",
    }
    return {name: value for name, value in error.items() if value is not None}
