"""The gateway's wiring diagram."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from chassis.listeners import EveryEvent, Follower
from chassis.service import COPY, Asgi, Runtime, Schedule, Service
from contracts import billing, identity, notifications, todos
from contracts.message import SERVICES
from services.gateway import api, handlers, live, pages, schedules, security
from services.gateway.settings import Settings

FOLLOWS: dict[type[Any], Follower] = {
    **dict.fromkeys((identity.Merchant, identity.Logo, identity.Person), COPY),
    **dict.fromkeys((identity.Member, identity.Customer, identity.Contact), EveryEvent(handlers.follow_access)),
    **dict.fromkeys((identity.Invitation, billing.Invoice, billing.Payment), EveryEvent(handlers.follow)),
    **dict.fromkeys((billing.Subscription, billing.PaymentMethod), EveryEvent(handlers.follow)),
    billing.BillingDefaults: COPY,
    **dict.fromkeys((billing.Refund, billing.Dispute, billing.Reconciliation), EveryEvent(handlers.follow)),
    **dict.fromkeys((todos.Todo, notifications.Mail), EveryEvent(handlers.follow)),
}


def build() -> Service:
    """Everything the gateway follows, runs and serves."""
    settings, hub, here = Settings.load("gateway"), live.Hub(), Path(__file__).parent
    tidy = [Schedule("forget-sessions", every=timedelta(minutes=10), run=schedules.forget_sessions)]
    service = Service("gateway", settings, here / "migrations", follows=FOLLOWS, schedules=tidy)
    service.http = partial(build_http, settings=settings, hub=hub)
    service.workers["live"] = hub.listen
    return service


def build_http(runtime: Runtime, *, settings: Settings, hub: live.Hub) -> Asgi:
    """The API, the pages and live changes behind one door."""
    http = api.new_application()
    http.state.runtime, http.state.settings, http.state.hub = runtime, settings, hub
    http.state.rooms = {owner: security.Room(owner, settings.commands_at_once, security.PATIENCE) for owner in SERVICES}
    refuse = api.install(http, pages.problem_page)
    http.include_router(live.router)
    pages.install(http)
    admission = security.Admission(http, settings, refuse=refuse)
    door = security.ApiCors(admission, origins=settings.allowed_origins)
    return security.SecurityHeaders(door, checkout_origins=settings.checkout_origins, secure=settings.secure)
