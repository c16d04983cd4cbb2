from typing import Any

from local.stripe.errors import InvalidParameterError

Json = dict[str, Any]


def check_return_url(intent: Json, *, elsewhere: bool) -> None:
    """Whether a confirmation says where a customer who is sent away comes back to.

    `elsewhere`: it does, or nobody will be sent away.

    Raises:
        InvalidParameterError: it does not, and the intent's methods may redirect.
    """
    redirects = (intent["automatic_payment_methods"] or {}).get("allow_redirects", "always") == "always"
    if redirects and not elsewhere:
        noun = "PaymentIntent" if intent["object"] == "payment_intent" else "SetupIntent"
        raise InvalidParameterError(
            f"This {noun} is configured to accept payment methods enabled in your Dashboard. Because some of "
            "these payment methods might redirect your customer off of your page, you must provide a `return_url`. If "
            "you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to "
            "`true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and "
            "Payment Intents.",
            param="return_url",
        )
