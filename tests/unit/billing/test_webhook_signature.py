"""What the door says of a webhook that it does not take: the operator looks at the secret, or at the clock."""

import hashlib
import hmac
import time

import pytest

from services.billing.stripe_gateway import NotFromStripeError, verify

RAW = b'{"id":"evt_1"}'


def signature(secret: str, at: int) -> str:
    digest = hmac.new(secret.encode(), f"{at}.".encode() + RAW, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


@pytest.mark.parametrize(
    ("secret", "age", "said"),
    [
        ("whsec_ours", 420, "It is signed, and more than five minutes old by our clock."),
        ("whsec_other", 420, "The signature is not valid."),
        ("whsec_other", 0, "The signature is not valid."),
    ],
)
def test_an_old_signature_is_told_from_a_wrong_one(secret: str, age: int, said: str) -> None:
    with pytest.raises(NotFromStripeError, match=said):
        verify(RAW, signature(secret, int(time.time()) - age), "whsec_ours, whsec_second")


def test_any_of_the_secrets_will_do() -> None:
    verify(RAW, signature("whsec_second", int(time.time())), "whsec_ours, whsec_second")
