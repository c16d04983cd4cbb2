from typing import Any

from stripe.params import DisputeCloseParams, DisputeListParams, DisputeRetrieveParams, DisputeUpdateParams

from local.stripe.disputes import ANSWERABLE, answer_dispute, close_dispute
from local.stripe.errors import StripeError
from local.stripe.lists import created_filters, equal_filters, page
from local.stripe.metadata import merge_metadata
from local.stripe.operations import Call, operation

Json = dict[str, Any]


@operation("GET", "/v1/disputes/{dispute}", DisputeRetrieveParams)
def retrieve(call: Call) -> Json:
    """A dispute."""
    return call.work.fetch("dispute", call.ids["dispute"], "dispute")


@operation("GET", "/v1/disputes", DisputeListParams)
def list_all(call: Call) -> Json:
    """Disputes, newest first."""
    chosen = equal_filters(call, charge="charge", payment_intent="payment_intent")
    return page(call, "dispute", [*created_filters(call), *chosen])


@operation("POST", "/v1/disputes/{dispute}", DisputeUpdateParams)
def update(call: Call) -> Json:
    """Evidence, handed in unless `submit=false`; or metadata alone."""
    dispute = retrieve(call)
    merge_metadata(dispute, call.params)
    submit = call.params.take("submit", True)
    if "evidence" not in call.params:
        call.work.save(dispute)
        call.work.emit("charge.dispute.updated", dispute)
        return dispute
    _check_answerable(dispute)
    return answer_dispute(call.work, dispute, call.params.take("evidence"), submit=submit)


@operation("POST", "/v1/disputes/{dispute}/close", DisputeCloseParams)
def close(call: Call) -> Json:
    """The merchant accepts it as lost."""
    dispute = retrieve(call)
    _check_answerable(dispute)
    return close_dispute(call.work, dispute, "lost")


def _check_answerable(dispute: Json) -> None:
    if dispute["status"] not in ANSWERABLE:
        raise StripeError(400, "This dispute is already closed.", code="dispute_already_closed")
