"""What a Checkout Session sells, from `price_data`: the sandbox keeps no catalogue."""

from typing import Any

from local.stripe.currencies import check_currency
from local.stripe.errors import InvalidParameterError, no_such
from local.stripe.params import Params
from local.stripe.shapes import price_shape
from local.stripe.work import Work, new_id

Json = dict[str, Any]


def line_item(work: Work, item: Params) -> Json:
    """One line, read and priced.

    Raises:
        StripeError: an amount, currency or quantity that cannot be, or a price or product by its id.
    """
    if "price" in item:
        raise no_such("price", item.take("price"), item.path("price"), status=400)
    item.need("price_data")
    price = item.group("price_data")
    currency = check_currency(price.take("currency"), price.path("currency"))
    amount = price.need("unit_amount")
    if amount < 0:
        raise InvalidParameterError(
            "Invalid non-negative integer", code="parameter_invalid_integer", param=price.path("unit_amount")
        )
    if "product" in price:
        raise no_such("product", price.take("product"), price.path("product"), status=400)
    product = price.need("product_data")
    quantity = item.need("quantity")
    if quantity < 1:
        raise InvalidParameterError(
            "This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
            param=item.path("quantity"),
        )
    total = amount * quantity
    return {
        "id": new_id("li_"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": total,
        "amount_tax": 0,
        "amount_total": total,
        "currency": currency,
        "description": product["name"],
        "metadata": item.take("metadata", {}),
        "price": price_shape(work, currency, amount, price.take("tax_behavior", "unspecified")),
        "quantity": quantity,
    }


def one_currency(params: Params, items: list[Json]) -> str:
    """The currency of all lines.

    Raises:
        InvalidParameterError: there are two.
    """
    currencies = {item["currency"] for item in items}
    if "currency" in params:
        currencies.add(check_currency(params.take("currency"), "currency"))
    if len(currencies) > 1:
        raise InvalidParameterError("All prices must have the same currency.", param="line_items")
    return str(currencies.pop())
