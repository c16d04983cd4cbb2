"""The sandbox tells only of what Stripe tells."""

import re
from pathlib import Path
from typing import get_args, get_type_hints

import stripe

import local.stripe

_EMITTED = re.compile(r'\.emit\(\s*f?"([^"]+)"')


def test_every_event_has_a_type_of_the_sdks() -> None:
    known = [str(name) for name in get_args(get_type_hints(stripe.Event)["type"])]
    assert len(known) > 200
    room = Path(str(local.stripe.__file__)).parent
    emitted = {name for path in room.rglob("*.py") for name in _EMITTED.findall(path.read_text())}
    assert {"setup_intent.succeeded", "refund.failed", "charge.dispute.funds_{way}"} < emitted
    for name in emitted:
        # An f-string's value is a word or two of our own.
        pattern = re.compile("[a-z_]+".join(re.escape(part) for part in re.split(r"\{.*\}", name)))
        assert any(pattern.fullmatch(kind) for kind in known), name
