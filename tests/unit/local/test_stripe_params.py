"""The sandbox's parameters come from the SDK's types: what it accepts and how it refuses."""

from decimal import Decimal
from typing import Any

import pytest
import stripe
import stripe.params
from stripe.params.checkout import SessionCreateParams
from typing_extensions import is_typeddict

from local.stripe import API_VERSION
from local.stripe.errors import InvalidParameterError
from local.stripe.forms import decode_form
from local.stripe.params import Params, check_params, fields_of


def check(typed_dict: type, encoded: str) -> dict[str, Any]:
    return check_params(fields_of(typed_dict), decode_form(encoded))


def test_the_sandbox_plays_the_version_that_the_sdk_asks_for() -> None:
    assert stripe.api_version == API_VERSION


def test_brackets_become_nested_values() -> None:
    assert decode_form("a[b][0][c]=1&a[b][1][c]=2&d=e%20f&g[]=x&g[]=y") == {
        "a": {"b": {"0": {"c": "1"}, "1": {"c": "2"}}},
        "d": "e f",
        "g": {"0": "x", "1": "y"},
    }


@pytest.mark.parametrize("encoded", ["a[b=1", "=1", "a=1&a[b]=2", "a]b=1"])
def test_broken_brackets_are_refused(encoded: str) -> None:
    with pytest.raises(InvalidParameterError):
        decode_form(encoded)


def test_values_are_read_by_the_sdks_annotations() -> None:
    item = "line_items[0]"
    encoded = (
        f"mode=payment&expand[0]=customer&metadata[invoice]=i1&{item}[quantity]=2&{item}[price_data][currency]=eur"
        f"&{item}[price_data][unit_amount_decimal]=12.5&allow_promotion_codes=true"
    )
    assert check(SessionCreateParams, encoded) == {
        "mode": "payment",
        "expand": ["customer"],
        "metadata": {"invoice": "i1"},
        "line_items": [{"quantity": 2, "price_data": {"currency": "eur", "unit_amount_decimal": Decimal("12.5")}}],
        "allow_promotion_codes": True,
    }


def test_a_number_or_a_range_both_read_as_the_sdk_says() -> None:
    assert check(stripe.params.ChargeListParams, "created=5") == {"created": 5}
    assert check(stripe.params.ChargeListParams, "created[gte]=5&created[lt]=9") == {"created": {"gte": 5, "lt": 9}}


@pytest.mark.parametrize(
    ("encoded", "code", "param"),
    [
        ("payment_method_types[0]=card", "parameter_unknown", "payment_method_types"),
        ("idempotency_key=k", "parameter_unknown", "idempotency_key"),
        ("line_items[0][price_data][colour]=red", "parameter_unknown", "line_items[0][price_data][colour]"),
        ("line_items[0][price_data][unit_amount]=1", "parameter_missing", "line_items[0][price_data][currency]"),
        ("expires_at=soon", "parameter_invalid_integer", "expires_at"),
        ("expires_at=١٢", "parameter_invalid_integer", "expires_at"),
        ("allow_promotion_codes=yes", None, "allow_promotion_codes"),
        ("success_url=", "parameter_invalid_empty", "success_url"),
        ("mode=gift", None, "mode"),
        ("line_items=5", None, "line_items"),
        ("line_items[first]=5", None, "line_items"),
        ("mode[a]=payment", None, "mode"),
        (f"metadata[{'k' * 41}]=v", None, "metadata"),
        (f"metadata[k]={'v' * 501}", None, "metadata[k]"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(encoded: str, code: str | None, param: str) -> None:
    with pytest.raises(InvalidParameterError) as refused:
        check(SessionCreateParams, encoded)
    assert (refused.value.error.get("code"), refused.value.error["param"]) == (code, param)


def test_a_choice_that_the_version_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(InvalidParameterError, match="Invalid mode: must be one of payment, setup, or subscription"):
        check(SessionCreateParams, "mode=gift")


def test_an_empty_string_unsets_where_the_sdk_allows_it() -> None:
    assert check(stripe.params.CustomerUpdateParams, "metadata=&address=") == {"metadata": "", "address": ""}


def test_required_members_are_the_sdks() -> None:
    with pytest.raises(InvalidParameterError) as refused:
        check(stripe.params.PaymentIntentCreateParams, "currency=eur")
    assert refused.value.error["message"] == "Missing required param: amount."


@pytest.mark.parametrize("noun", ["Customer", "PaymentIntent", "PaymentMethod", "Refund", "SetupIntent", "Dispute"])
def test_every_params_type_of_a_noun_can_be_read(noun: str) -> None:
    names = [name for name in stripe.params._import_map if name.startswith(noun) and name.endswith("Params")]
    assert len(names) > 2
    for name in names:
        typed_dict = getattr(stripe.params, name)
        assert is_typeddict(typed_dict)
        assert "idempotency_key" not in fields_of(typed_dict).shapes


def test_what_no_handler_read_is_known_by_its_path() -> None:
    params = Params({"mode": "payment", "custom_text": {"submit": "x"}, "line_items": [{"quantity": 1, "colour": 2}]})
    params.take("mode")
    params.groups("line_items")[0].take("quantity")
    assert params.unread() == ["custom_text", "line_items[0][colour]"]
