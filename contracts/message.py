"""What every message is made of: the envelope, the kinds of message, who acts, money, ids and refusals.

Three kinds of message cross the broker. An *event* is a fact, announced by the owner of a noun, and carries that noun's
whole public state. A *command* is an order to the owner of a noun, a *question* asks it something; both are answered.
Each owner's messages stand in the file named after it (`identity.py`, `billing.py`, `todos.py`, `notifications.py`);
the decorators below register them, and everything else (queue names, permissions, schemas, the message book) is derived.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from types import NoneType
from typing import Annotated, Any, ClassVar, Generic, Literal, NewType, TypeVar, get_args
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints
from pydantic.dataclasses import dataclass as validated

MerchantId = NewType("MerchantId", UUID)
PersonId = NewType("PersonId", UUID)
MemberId = NewType("MemberId", UUID)
CustomerId = NewType("CustomerId", UUID)
ContactId = NewType("ContactId", UUID)
InvitationId = NewType("InvitationId", UUID)
InvoiceId = NewType("InvoiceId", UUID)
PaymentId = NewType("PaymentId", UUID)
PaymentMethodId = NewType("PaymentMethodId", UUID)
SubscriptionId = NewType("SubscriptionId", UUID)
RefundId = NewType("RefundId", UUID)
DisputeId = NewType("DisputeId", UUID)
TodoId = NewType("TodoId", UUID)
MailId = NewType("MailId", UUID)

PUBLIC = "portal.events"
"""The exchange that other company systems may subscribe to."""
INTERNAL = "portal.internal"
"""The exchange for nouns that other systems may not see."""

Service = Literal["identity", "billing", "notifications", "todos", "gateway"]
SERVICES: tuple[Service, ...] = get_args(Service)


@dataclass(frozen=True)
class SecretMark:
    """Marks a field whose value must not be stored in a reply, logged, or kept in a dead letter."""


Secret = Annotated[str, SecretMark()]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
"""An ISO 4217 code in capitals. Whether the code exists is the owner's business."""
EmailAddress = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
]
"""One mailbox, 254 characters at most (RFC 5321, 4.5.3.1.3). Whether it exists only a mail can tell."""
# What nobody reads: control characters, ends of lines within one, and what turns the letters after it around (U+202D and
# U+202E), by which a text could show another amount than it holds.
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202d\u202e]*$"
_LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e]*$"
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=_ONE_LINE)]
"""A non-empty single line for people to read, in any script."""
Text = Annotated[str, StringConstraints(max_length=4000, pattern=_LINES)]
"""Several lines for people to read, in any script; tabs and line feeds allowed."""
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
"""A BCP 47 language tag such as `de` or `en-GB`."""
Percent = Annotated[Decimal, Field(ge=0, le=100, decimal_places=4)]
Amount = Annotated[int, Field(ge=0, le=99_999_999_999, strict=True)]
"""Minor units of the currency that stands beside it, as a number: `"12.00"` would be read as twelve of them."""
Count = Annotated[int, Field(strict=True)]
"""How many of something, as a number."""
Flag = Annotated[bool, Field(strict=True)]
"""True or false, and nothing that only reads like it."""


def _written(given: object) -> object:
    # Pydantic makes a moment of any number, also of one in quotes: seconds since 1970, of a large one milliseconds. It makes
    # none of null, and says so in its own words.
    number = not re.match(r"\s*\d{4}-", given) if isinstance(given, str) else isinstance(given, int | float)
    return None if number else given


def _day(given: object) -> object:
    # Pydantic makes a day of midnight, too; whoever sends a moment may mean the day before, where they are.
    if isinstance(given, datetime) or (isinstance(given, str) and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", given)):
        return None
    return _written(given)


Day = Annotated[date, BeforeValidator(_day)]
"""A day as ISO 8601 writes it, without a time."""
Moment = Annotated[AwareDatetime, BeforeValidator(_written)]
"""A moment as ISO 8601 writes it, with its distance from UTC."""


# ISO 4217's minor units where they are not two. CLDR's digits say how cash is shown (RSD 0, IQD 0), not what is owed.
_MINOR_DIGITS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND"), 0),
    **dict.fromkeys(("VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def minor_digits(currency: str) -> int:
    """How many decimals a currency's major unit has (ISO 4217): EUR 2, JPY 0, KWD 3."""
    return _MINOR_DIGITS.get(currency, 2)


@validated(frozen=True, config=ConfigDict(strict=True))
class Money:
    """An amount in the currency's minor units: `Money(1250, "EUR")` is 12.50 euro, `Money(1250, "JPY")` 1250 yen."""

    amount: int
    currency: Currency

    def __add__(self, other: Money) -> Money:
        self._same_currency(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same_currency(other)
        return Money(self.amount - other.amount, self.currency)

    def _same_currency(self, other: Money) -> None:
        if self.currency != other.currency:
            raise ValueError(f"Cannot add {self.currency} to {other.currency}.")


class _Discreet(BaseModel):
    """Shows no secret when somebody prints it."""

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        hidden = {path[0] for path in secret_fields(type(self)) if len(path) == 1}
        for name, value in super().__repr_args__():
            yield name, "[secret]" if name in hidden else value


class Shape(_Discreet):
    """A part of a message. Readers ignore fields they do not know, so that owners may add optional ones."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True, defer_build=True)


class Strict(_Discreet):
    """Something that is sent to be carried out. An unknown field is refused: it would be silently left undone."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True)


class Address(Shape):
    """A postal address; `country` is an ISO 3166-1 alpha-2 code."""

    line1: Annotated[str, StringConstraints(max_length=200)] = ""
    """Street and number."""
    line2: Annotated[str, StringConstraints(max_length=200)] = ""
    """Whatever else the post needs."""
    postal_code: Annotated[str, StringConstraints(max_length=20)] = ""
    """As the country writes it."""
    city: Annotated[str, StringConstraints(max_length=100)] = ""
    """Town or city."""
    region: Annotated[str, StringConstraints(max_length=100)] = ""
    """State, province or county, where addresses name one."""
    country: Annotated[str, StringConstraints(pattern=r"^([A-Z]{2})?$")] = ""
    """ISO 3166-1 alpha-2, in capitals."""


# --- who acts -------------------------------------------------------------------------------------------------------


class Actor(Shape):
    """Who stands behind a message, as the gateway (or a service acting on its own) knows it.

    `member` and `contact` are people with a role at a merchant or a customer, `person` is somebody signed in without an
    account chosen, `public` holds a pay link or an invitation and nothing else, `system` is one of our services.
    """

    kind: Literal["member", "contact", "person", "api_key", "public", "system"]
    id: UUID | None = None
    name: str = ""
    role: str | None = None
    merchant_id: MerchantId | None = None
    customer_id: CustomerId | None = None
    on_behalf_of: UUID | None = None
    read_only: bool = False

    def __str__(self) -> str:
        return f"{self.kind}:{self.id or self.name}"


@cache
def system(service: Service) -> Actor:
    """The actor of work that no person asked for at that moment: schedules, webhooks, followers."""
    return Actor(kind="system", name=service)


# --- refusals -------------------------------------------------------------------------------------------------------


class FieldError(Shape):
    """One thing wrong with the input: `field` is a path such as `lines.0.quantity`.

    `message` is an English sentence. `code` names that sentence for whoever words it in another language, `values` are
    what it names: an amount as `{"amount": 50, "currency": "EUR"}`, a day as `{"date": "2026-03-02"}`, else a text.
    """

    field: str
    message: str
    code: str | None = None
    values: dict[str, JsonValue] = Field(default_factory=dict)


class Problem(Exception):  # noqa: N818 - a refusal is a sentence (`InvoiceAlreadyPaid`), its base is RFC 9457's word
    """A named refusal. It crosses the wire as RFC 9457 `application/problem+json` and is the same class in the caller.

    Subclasses are declared beside the commands that raise them. `detail` is a sentence for a person; `members` are
    extension members, JSON values only.
    """

    status: ClassVar[int] = 400
    title: ClassVar[str] = "The request was refused."
    known: ClassVar[dict[str, type[Problem]]] = {}

    def __init_subclass__(cls) -> None:
        Problem.known[cls.code()] = cls

    def __init__(self, detail: str = "", *, errors: tuple[FieldError, ...] = (), **members: JsonValue) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = errors
        self.members = members

    @classmethod
    def code(cls) -> str:
        """The refusal's name on the wire: `InvoiceAlreadyPaid` is `invoice-already-paid`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    def document(self) -> dict[str, JsonValue]:
        """The RFC 9457 problem document."""
        document: dict[str, JsonValue] = {
            "type": f"/problems/{self.code()}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.members,
        }
        if self.errors:
            document["errors"] = [each.model_dump(mode="json", exclude_defaults=True) for each in self.errors]
        return document

    @staticmethod
    def from_document(document: dict[str, Any]) -> Problem:
        """The refusal that `document` describes; an unknown one becomes a plain `Problem` that keeps its members."""
        members = {k: v for k, v in document.items() if k not in {"type", "title", "status", "detail", "errors"}}
        kind = Problem.known.get(str(document.get("type", "")).removeprefix("/problems/"), Problem)
        problem = kind.__new__(kind)
        errors = tuple(FieldError.model_validate(each) for each in document.get("errors", ()))
        Problem.__init__(problem, str(document.get("detail", "")), errors=errors, **members)
        return problem


class InvalidInput(Problem):
    """The request does not fit its contract, or names values that make no sense together."""

    status = 422
    title = "Some of the input is not valid."


class NotFound(Problem):
    """No such thing, or not the asker's: the two are never told apart."""

    status = 404
    title = "There is no such thing here."


class NotAllowed(Problem):
    """The asker's own, but not permitted. The detail says why."""

    status = 403
    title = "You may not do this."


class Conflict(Problem):
    """The thing is no longer in the state that the request supposes."""

    status = 409
    title = "This has changed in the meantime."


class CommandReused(Problem):
    """The same command id came with another body."""

    status = 422
    title = "This request id was used for another request."


class TooManyAttempts(Problem):
    """Rate-limited; `retry_after` in seconds."""

    status = 429
    title = "Too many attempts. Please wait a little."


class NotAccepted(Problem):
    """The request was not taken: nothing has happened and nothing will. It may be sent again."""

    status = 503
    title = "This could not be taken right now. Nothing has been changed."


class OutcomeUnknown(Problem):
    """The request was taken but its answer did not come in time. Repeating it with the same id is safe."""

    status = 504
    title = "We do not know yet whether this was done."


class Incident(Problem):
    """A surprise in a service. The member `incident` is what its operator searches the log for."""

    status = 500
    title = "Something went wrong on our side."


# --- events ---------------------------------------------------------------------------------------------------------


class State(Shape):
    """The complete public representation of one aggregate. Decorate with `@noun`.

    A deletion is a state too: `deleted` is true and personal fields are null.
    """

    noun: ClassVar[str]
    exchange: ClassVar[str]
    followed_by: ClassVar[tuple[Service, ...]]

    id: UUID
    """The aggregate's id, a UUIDv7; the event's `subject`."""
    merchant_id: MerchantId | None
    """The merchant whose data this is; null for what belongs to a person alone."""
    deleted: bool = False
    """A tombstone: personal fields are null."""

    @classmethod
    def owner(cls) -> Service:
        """The service that announces this noun."""
        return cls.noun.split(".")[0]  # type: ignore[return-value]  # checked against SERVICES by @noun

    @classmethod
    def short_name(cls) -> str:
        """The noun without its owner: `invoice`. Copies live in tables `copy_<short name>`."""
        return cls.noun.split(".")[1]


StateT = TypeVar("StateT", bound=State)
StateT_co = TypeVar("StateT_co", bound=State, covariant=True)
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)


class Event(Shape, Generic[StateT_co]):
    """A fact: something that has happened to `state`, which is the aggregate right after it. Decorate with `@event`."""

    wire_type: ClassVar[str]
    handled_by: ClassVar[tuple[Service, ...]]

    state: StateT_co

    @classmethod
    def of(cls) -> type[State]:
        """The noun that this event is about."""
        annotation = cls.model_fields["state"].annotation
        assert isinstance(annotation, type)
        assert issubclass(annotation, State)
        return annotation


class Envelope(Shape):
    """CloudEvents 1.0, structured JSON. Extension attributes are in lower case without underscores, as it demands.

    `merchantid` is null for what belongs to a person alone. `sequence` is the aggregate's row version: each announced
    change adds one. `correlationid` names the person's action that everything follows from, `causationid` the message
    that caused this one, `actor` is `kind:id`, `traceparent` is W3C trace context.
    """

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(max_length=255)
    type: str
    source: str
    subject: str
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    merchantid: MerchantId | None = None
    sequence: int | None = Field(default=None, ge=0)
    correlationid: str
    causationid: str | None = None
    actor: str
    traceparent: str | None = None

    @property
    def sender(self) -> str:
        """The service that says it sent this; compare with the broker's validated user."""
        return self.source.removeprefix("/")


class EventEnvelope(Envelope):
    """An event on the wire, its data not yet parsed: copies keep `data["state"]` as it came."""

    data: dict[str, JsonValue]


class Known(Shape):
    """Another service's aggregate as the sender knows it; the receiver upserts it into its copy before it decides."""

    noun: str
    sequence: int
    state: dict[str, JsonValue]


# --- commands and questions -----------------------------------------------------------------------------------------


class Request(Strict, Generic[ResultT_co]):
    """Something asked of the owner of a noun, answered with a result or a named refusal."""

    wire_type: ClassVar[str]
    askers: ClassVar[tuple[Service, ...]]
    stored: ClassVar[bool]

    @classmethod
    def owner(cls) -> Service:
        """The service that answers."""
        return cls.wire_type.split(".")[0]  # type: ignore[return-value]  # checked against SERVICES by the decorators

    @classmethod
    def queue(cls) -> str:
        """The queue that the owner answers on: `billing.start_invoice_payment`."""
        return cls.wire_type.rsplit(".", 1)[0]

    @classmethod
    def result_type(cls) -> Any:
        """What a successful answer is parsed as."""
        for base in cls.__mro__:
            arguments = getattr(base, "__pydantic_generic_metadata__", {}).get("args")
            if arguments:
                return arguments[0]
        raise TypeError(f"{cls.__name__} does not say what it is answered with.")


class Command(Request[ResultT_co], Generic[ResultT_co]):
    """An order. Its reply is stored: the same command sent again gets its first reply. Decorate with `@command`."""


class Question(Request[ResultT_co], Generic[ResultT_co]):
    """Something asked that changes nothing that is announced. Nothing is stored. Decorate with `@question`."""


class RequestData(Shape):
    """The data of a command's or question's envelope."""

    actor: Actor
    body: dict[str, JsonValue]
    known: tuple[Known, ...] = ()


class RequestEnvelope(Envelope):
    """A command or question on the wire; `id` is the command id, chosen by the asker, kept when it repeats itself."""

    data: RequestData


class ReplyData(Shape):
    """A successful answer: the result, and every event announced in the command's transactions, as published."""

    result: JsonValue
    changed: tuple[EventEnvelope, ...] = ()


@dataclass(frozen=True)
class Reply(Generic[ResultT]):
    """A successful answer in the asker's hands."""

    result: ResultT
    changed: tuple[EventEnvelope, ...]


@dataclass(frozen=True)
class Document:
    """A file as an answer. It travels as the reply's bytes under its own content type, 5 MB at most."""

    content_type: str
    filename: str
    body: bytes


class MailFacts(Shape):
    """What the owner of a mail's subject says just before it is sent.

    `still_true` false drops the mail, `why_not` says why. `path` is the secret link to put in (`/pay/…`), relative to
    the portal's public address; `facts` are the values that the text names, as they are now.
    """

    still_true: bool
    why_not: str | None = None
    path: Secret | None = None
    facts: dict[str, JsonValue] = Field(default_factory=dict)


class Republished(Shape):
    """How many rows were sent to the asker's queue."""

    count: int


# --- the register ---------------------------------------------------------------------------------------------------

NOUNS: dict[str, type[State]] = {}
EVENTS: dict[str, type[Event[Any]]] = {}
REQUESTS: dict[str, type[Request[Any]]] = {}

_NAME = re.compile(r"^(identity|billing|notifications|todos|gateway)\.[a-z_]+$")
_EVENT_TYPE = re.compile(r"^(identity|billing|notifications|todos|gateway)\.[a-z_]+\.[a-z_]+\.v[1-9]\d*$")
_REQUEST_TYPE = re.compile(r"^(identity|billing|notifications|todos|gateway)\.[a-z_]+\.v[1-9]\d*$")

StateClass = TypeVar("StateClass", bound=type[State])
EventClass = TypeVar("EventClass", bound=type[Event[Any]])
RequestClass = TypeVar("RequestClass", bound=type[Request[Any]])


def noun(
    name: str, *, public: bool = False, followed_by: tuple[Service, ...] = ()
) -> Callable[[StateClass], StateClass]:
    """Register a state as a noun, `<owner>.<noun>`. Each service in `followed_by` has one queue for all its events."""

    def register(cls: StateClass) -> StateClass:
        if not _NAME.match(name) or name in NOUNS:
            raise ValueError(f"{name} is not a new noun's name.")
        cls.noun, cls.exchange, cls.followed_by = name, PUBLIC if public else INTERNAL, followed_by
        NOUNS[name] = cls
        return cls

    return register


def event(type_: str, *, handled_by: tuple[Service, ...] = ()) -> Callable[[EventClass], EventClass]:
    """Register an event, `<owner>.<noun>.<fact>.v<N>`. Each service in `handled_by` does one thing per event id."""

    def register(cls: EventClass) -> EventClass:
        if not _EVENT_TYPE.match(type_) or type_ in EVENTS:
            raise ValueError(f"{type_} is not a new event's type.")
        if not type_.startswith(cls.of().noun + "."):
            raise ValueError(f"{type_} is not about {cls.of().noun}.")
        cls.wire_type, cls.handled_by = type_, handled_by
        EVENTS[type_] = cls
        return cls

    return register


def command(type_: str, *, askers: tuple[Service, ...] = ("gateway",)) -> Callable[[RequestClass], RequestClass]:
    """Register a command, `<owner>.<verb_noun>.v<N>`, accepted from `askers` only."""
    return _request(type_, askers, stored=True)


def question(type_: str, *, askers: tuple[Service, ...] = ("gateway",)) -> Callable[[RequestClass], RequestClass]:
    """Register a question, `<owner>.<name>.v<N>`, accepted from `askers` only."""
    return _request(type_, askers, stored=False)


def _request(type_: str, askers: tuple[Service, ...], *, stored: bool) -> Callable[[RequestClass], RequestClass]:
    def register(cls: RequestClass) -> RequestClass:
        if not _REQUEST_TYPE.match(type_) or type_ in REQUESTS:
            raise ValueError(f"{type_} is not a new request's type.")
        cls.wire_type, cls.askers, cls.stored = type_, askers, stored
        REQUESTS[type_] = cls
        return cls

    return register


def snake_case(name: str) -> str:
    """`InvoicePaid` is `invoice_paid`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def follower_queue(service: Service, state: type[State]) -> str:
    """The queue by which a service follows a noun: `todos.invoice`."""
    return f"{service}.{state.short_name()}"


def fact_queue(service: Service, of: type[Event[Any]]) -> str:
    """The queue by which a service handles one event type: `notifications.on_payment_succeeded`."""
    return f"{service}.on_{snake_case(of.__name__)}"


def republished_type(state: type[State]) -> str:
    """The type under which a noun's current rows are sent again. Only followers see it."""
    return f"{state.noun}.republished.v1"


def secret_fields(model: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of fields marked secret in a model, through nested models."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        for argument in get_args(model):
            yield from secret_fields(argument, path)
        return
    for rest in _secrets_in(model):
        yield (*path, *rest)


@cache
def _secrets_in(model: type[BaseModel]) -> tuple[tuple[str, ...], ...]:
    """Of one model, once: the same states are in hundreds of messages."""
    return tuple(_fields_marked(model))


def _fields_marked(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        marked = any(isinstance(each, SecretMark) for each in field.metadata)
        if marked or any(
            isinstance(each, SecretMark)
            for argument in get_args(field.annotation)
            if argument is not NoneType
            for each in getattr(argument, "__metadata__", ())
        ):
            yield (name,)
        else:
            yield from secret_fields(field.annotation, (name,))


def utc(moment: datetime) -> str:
    """The one way we write a time: ISO 8601 with microseconds and `Z`, so that text order is time order."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
