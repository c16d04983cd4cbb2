from typing import Any

from local.stripe.params import Params

Json = dict[str, Any]


def merge_metadata(body: Json, params: Params) -> None:
    """Stripe's rule for `metadata`: given keys are set, a key with an empty value goes, an empty string clears all."""
    if "metadata" not in params:
        return
    given = params.take("metadata")
    merged = {**(body.get("metadata") or {}), **given} if isinstance(given, dict) else {}
    body["metadata"] = {key: value for key, value in merged.items() if value != ""}


def changed(before: Json, after: Json) -> Json:
    """`previous_attributes` of an update event: the old values of what differs."""
    return {name: value for name, value in before.items() if after.get(name) != value}
