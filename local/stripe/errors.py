"""Stripe's error bodies: `{"error": {"type", "code", "message", "param", …}}` with the status the API uses for each."""

from typing import Any

Json = dict[str, Any]


class StripeError(Exception):
    """A refusal as Stripe words it.

    Attributes:
        status: the HTTP status.
        error: the content of `error` in the body.
        stored: whether an Idempotency-Key keeps this result (validation, 401, 409 and 429 are not kept).
    """

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None, **more: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.stored = True
        kind = more.pop("type", "invalid_request_error")
        fields = {"code": code, "message": message, "param": param, "type": kind, **more}
        self.error: Json = {name: value for name, value in fields.items() if value is not None}
        if code is not None:
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"

    @property
    def body(self) -> Json:
        """The response body."""
        return {"error": self.error}


class InvalidParameterError(StripeError):
    """A request that never started executing: nothing is stored for its idempotency key."""

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(400, message, code=code, param=param)
        self.stored = False


class CardError(StripeError):
    """A charge that was tried and declined: the attempt is part of the books, so its transaction commits."""

    def __init__(self, error: Json) -> None:
        super().__init__(402, error["message"])
        self.error = error


def unknown_parameters(names: list[str]) -> InvalidParameterError:
    """One or more parameters that the API version does not have."""
    plural = "s" if len(names) > 1 else ""
    return InvalidParameterError(
        f"Received unknown parameter{plural}: {', '.join(names)}", code="parameter_unknown", param=names[0]
    )


def missing_parameter(name: str) -> InvalidParameterError:
    """A parameter the call cannot do without."""
    return InvalidParameterError(f"Missing required param: {name}.", code="parameter_missing", param=name)


def no_such(noun: str, object_id: str, param: str, *, status: int = 404) -> StripeError:
    """An id that names nothing in this account: 404 in the path, 400 in a parameter."""
    return StripeError(status, f"No such {noun}: '{object_id}'", code="resource_missing", param=param)


def unrecognized_url(method: str, path: str) -> StripeError:
    """An operation the sandbox (or Stripe) does not have."""
    return StripeError(
        404,
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at "
        "https://support.stripe.com/.",
    )


def unplayed_parameters(names: list[str]) -> InvalidParameterError:
    """Stripe would accept these, the sandbox would ignore them: saying so beats a test that proves nothing."""
    return InvalidParameterError(
        f"The sandbox does not play these parameters yet: {', '.join(names)}", code="sandbox_unplayed", param=names[0]
    )
