"""Merchants, their members, customers, the people behind them, and invitations. Owner: identity."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from .message import (
    Address,
    Command,
    Currency,
    CustomerId,
    EmailAddress,
    Event,
    Flag,
    InvitationId,
    Line,
    Locale,
    MailFacts,
    MerchantId,
    PersonId,
    Problem,
    Question,
    Republished,
    Secret,
    Service,
    Shape,
    State,
    command,
    event,
    noun,
    question,
)

TimeZone = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_+\-/]+$")]
"""An IANA time zone name such as `Europe/Berlin`."""
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-f]{6}$")]
SupportEmail = EmailAddress | Literal[""]
"""An e-mail address, or empty to take it away."""
Phone = Annotated[str, StringConstraints(strip_whitespace=True, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")]
Password = Annotated[Secret, StringConstraints(min_length=10, max_length=200)]
"""At least ten characters (NIST SP 800-63B asks for eight), no rules of composition, 200 at most."""
MemberRole = Literal["admin", "manager", "sales"]
ContactRole = Literal["owner", "billing", "member"]

# --- nouns ----------------------------------------------------------------------------------------------------------


@noun("identity.merchant", public=True, followed_by=("billing", "notifications", "todos", "gateway"))
class Merchant(State):
    """The business that bills. `brand_colour` is `#rrggbb`; the support contact is shown to customers."""

    merchant_id: MerchantId
    name: str
    """What customers know it by."""
    support_email: str | None = None
    """Where customers ask for help; shown to them."""
    support_phone: str | None = None
    """Likewise, by telephone."""
    brand_colour: Colour = "#2457d6"
    """The colour of its pages and mails, `#rrggbb`."""
    address: Address = Address()
    """Its postal address, printed on invoices."""
    tax_id: str | None = None
    """Its tax or VAT number, printed on invoices."""
    locale: str = "en"
    """The language tag (BCP 47) of its console and the default of its customers."""
    time_zone: str = "UTC"
    """The IANA zone that its dates are counted in."""
    currency: Currency = "EUR"
    """The currency that new payment links start with, ISO 4217."""
    created_at: AwareDatetime
    """When it was made."""


@noun("identity.logo", followed_by=("billing", "notifications", "gateway"))
class Logo(State):
    """A merchant's logo, its id the merchant's: a PNG of at most 64 kB, re-encoded by us, in base64. Null: none."""

    merchant_id: MerchantId
    png_base64: str | None
    """The picture in base64; null when there is none."""


@noun("identity.person", followed_by=("gateway",))
class Person(State):
    """Somebody who signs in. Belongs to no merchant: `merchant_id` is always null."""

    merchant_id: None = None
    name: str | None
    """What they call themselves; null once deleted."""
    email: str | None
    """Where they sign in from and get mail; null once deleted."""
    locale: str = "en"
    """The language tag (BCP 47) that they read."""
    time_zone: str = "UTC"
    """The IANA zone that times are shown to them in."""
    created_at: AwareDatetime
    """When they got an account."""


@noun("identity.member", followed_by=("notifications", "gateway"))
class Member(State):
    """A person's place in a merchant's team. `deleted` when removed from it."""

    merchant_id: MerchantId
    person_id: PersonId
    """Who it is."""
    role: MemberRole
    """What they may do: *admin* everything, *manager* all but team and settings, *sales* no refunds either."""
    name: str | None
    """The person's name; null once removed."""
    email: str | None
    """The person's address; null once removed."""
    created_at: AwareDatetime
    """When they joined the team."""


@noun("identity.customer", public=True, followed_by=("billing", "notifications", "todos", "gateway"))
class Customer(State):
    """A business or person that a merchant bills.

    `portal_access` is *none* until somebody is invited, *invited* until an invitation is accepted, then *active*;
    *disabled* shuts every contact out.
    """

    merchant_id: MerchantId
    name: str | None
    """Whom the merchant deals with; null once erased."""
    company: str | None = None
    """The business they buy for."""
    email: str | None
    """Where invitations, payment links and receipts go; null once erased."""
    phone: str | None = None
    """As the merchant noted it."""
    billing_address: Address | None = Address()
    """Printed on invoices; null once erased."""
    tax_ids: tuple[str, ...] = ()
    """Their tax or VAT numbers, printed on invoices."""
    locale: str = "en"
    """The language tag (BCP 47) that mails are written in."""
    time_zone: str = "UTC"
    """The IANA zone that their dates are counted in."""
    portal_access: Literal["none", "invited", "active", "disabled"]
    """How far they have come into the portal."""
    archived: bool = False
    """Kept for its invoices, and offered nothing new. Billing cancels its subscriptions, withdraws open offers and charges
    nothing automatically any more; open invoices can still be paid. Taken back, the card may be charged again, and what was
    cancelled stays so.
    """
    created_at: AwareDatetime
    """When the merchant added it."""


@noun("identity.contact", followed_by=("notifications", "gateway"))
class Contact(State):
    """A person's access to one customer's portal. `deleted` when taken away."""

    merchant_id: MerchantId
    customer_id: CustomerId
    """Whose portal it opens."""
    person_id: PersonId
    """Who it is."""
    role: ContactRole
    """What they may do: *owner* everything, *billing* all about money, *member* to look and to do."""
    name: str | None
    """The person's name; null once taken away."""
    email: str | None
    """The person's address; null once taken away."""
    active: bool
    """False shuts this person out, and them alone."""
    created_at: AwareDatetime
    """When they joined."""


@noun("identity.invitation", followed_by=("gateway",))
class Invitation(State):
    """An offer to join a customer's portal. The link's token is derived, never stored and never announced.

    `origin` is *merchant* for Send Invite, *pay_link* when the customer asked for it on a payment link's page.
    """

    merchant_id: MerchantId
    customer_id: CustomerId
    """Whose portal it opens."""
    email: str | None
    """Where it was sent; null once deleted."""
    role: ContactRole
    """What the person will be there."""
    origin: Literal["merchant", "pay_link"]
    """How it came about."""
    status: Literal["pending", "accepted", "revoked", "expired", "superseded"]
    """What became of it; only a *pending* one can be used."""
    invited_by: str
    """The name of the member who sent it."""
    expires_at: AwareDatetime
    """Until when it can be used."""
    created_at: AwareDatetime
    """When it was sent."""
    accepted_at: AwareDatetime | None = None
    """When it was used."""


# --- events ---------------------------------------------------------------------------------------------------------


@event("identity.merchant.created.v1")
class MerchantCreated(Event[Merchant]):
    """A merchant was made on this installation."""


@event("identity.merchant.changed.v1")
class MerchantChanged(Event[Merchant]):
    """A merchant's name, branding, support contact or defaults changed."""


@event("identity.logo.changed.v1")
class LogoChanged(Event[Logo]):
    """A merchant's logo was set or taken away."""


@event("identity.person.created.v1")
class PersonCreated(Event[Person]):
    """Somebody got an account."""


@event("identity.person.changed.v1")
class PersonChanged(Event[Person]):
    """A person changed their name, language or time zone."""


@event("identity.member.added.v1")
class MemberAdded(Event[Member]):
    """A person joined a merchant's team."""


@event("identity.member.changed.v1")
class MemberChanged(Event[Member]):
    """What a member's place in a team says changed, such as the person's name."""


@event("identity.customer.created.v1")
class CustomerCreated(Event[Customer]):
    """A merchant added a customer."""


@event("identity.customer.changed.v1")
class CustomerChanged(Event[Customer]):
    """A customer's details or access to the portal changed."""


@event("identity.contact.joined.v1")
class ContactJoined(Event[Contact]):
    """A person accepted an invitation and may now use a customer's portal."""


@event("identity.contact.changed.v1")
class ContactChanged(Event[Contact]):
    """What a contact's access to a portal says changed, such as the person's name."""


@event("identity.invitation.sent.v1", handled_by=("notifications",))
class InvitationSent(Event[Invitation]):
    """An invitation is to be e-mailed. The mail's link is asked for by `IdentityMailFacts` just before sending."""


@event("identity.invitation.accepted.v1")
class InvitationAccepted(Event[Invitation]):
    """Somebody pressed the button on an invitation's page."""


@event("identity.invitation.revoked.v1")
class InvitationRevoked(Event[Invitation]):
    """A member took an invitation back."""


@event("identity.invitation.expired.v1")
class InvitationExpired(Event[Invitation]):
    """Seven days passed without an answer."""


@event("identity.invitation.superseded.v1")
class InvitationSuperseded(Event[Invitation]):
    """A newer invitation of the same address took this one's place."""


# --- refusals -------------------------------------------------------------------------------------------------------


class WrongCredentials(Problem):
    """The e-mail and the password do not belong together, or there is no such account: the two are never told apart."""

    status = 401
    title = "The e-mail address or the password is not right."


class InvitationNotUsable(Problem):
    """An invitation's link is dead; the member `why` is *accepted*, *revoked*, *expired*, *superseded* or *unknown*."""

    status = 410
    title = "This invitation can no longer be used."


class EmailTaken(Problem):
    """Another customer of this merchant has this address."""

    status = 409
    title = "There is already a customer with this e-mail address."


# --- commands and questions -----------------------------------------------------------------------------------------


class Account(Shape):
    """One place that a person can work in: a merchant's console or a customer's portal."""

    id: MerchantId | CustomerId
    kind: Literal["merchant", "customer"]
    name: str
    role: MemberRole | ContactRole
    merchant_id: MerchantId
    merchant_name: str


class SignedIn(Shape):
    """Whose credentials were right, and the accounts they may use. The gateway makes the session."""

    person_id: PersonId
    name: str
    email: str
    locale: str
    time_zone: str
    accounts: tuple[Account, ...]


class InvitationView(Shape):
    """What an invitation's page shows to whoever holds the link."""

    invitation_id: InvitationId
    merchant_id: MerchantId
    merchant_name: str
    customer_id: CustomerId
    customer_name: str
    email: str
    name: str
    has_account: bool


@question("identity.sign_in.v1")
class SignIn(Question[SignedIn]):
    """Check a password. Not stored, so that no trace of a password stays. Refusals: WrongCredentials, TooManyAttempts."""

    email: EmailAddress
    password: Secret
    address: str = ""
    """The browser's network address, for the rate limit."""


@question("identity.view_invitation.v1")
class ViewInvitation(Question[InvitationView]):
    """Show an invitation without using it: mail scanners open links. Refusal: InvitationNotUsable."""

    token: Secret


@command("identity.accept_invitation.v1")
class AcceptInvitation(Command[SignedIn]):
    """Use an invitation: make the person unless they have an account, and let them into the customer's portal.

    Somebody who has an account gives its password. Refusals: InvitationNotUsable, WrongCredentials, InvalidInput.
    """

    token: Secret
    name: Line | None = None
    password: Password
    locale: Locale | None = None
    time_zone: TimeZone | None = None


@command("identity.update_merchant.v1")
class UpdateMerchant(Command[Merchant]):
    """Change a merchant's branding, support contact and defaults; only the fields that are given. Admins only.

    An empty text takes the support address, the phone number or the tax id away.
    """

    name: Line | None = None
    support_email: SupportEmail | None = None
    support_phone: Phone | None = None
    brand_colour: Colour | None = None
    address: Address | None = None
    tax_id: Annotated[str, StringConstraints(max_length=40)] | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    currency: Currency | None = None


@command("identity.set_logo.v1")
class SetLogo(Command[Logo]):
    """Set (PNG or JPEG in base64, at most 1 MB) or take away (null) the merchant's logo. Admins only."""

    image_base64: Annotated[str, StringConstraints(max_length=1_400_000)] | None


@command("identity.create_customer.v1")
class CreateCustomer(Command[Customer]):
    """Add a customer. Refusals: EmailTaken, InvalidInput, NotAllowed."""

    name: Line
    company: Line | None = None
    email: EmailAddress
    phone: Phone | None = None
    billing_address: Address = Address()
    tax_ids: Annotated[tuple[Annotated[str, StringConstraints(max_length=40)], ...], Field(max_length=10)] = ()
    locale: Locale = "en"
    time_zone: TimeZone = "UTC"


@command("identity.update_customer.v1")
class UpdateCustomer(Command[Customer]):
    """Change a customer's details; only the fields that are given. Refusals: NotFound, EmailTaken."""

    customer_id: CustomerId
    name: Line | None = None
    company: Annotated[str, StringConstraints(max_length=200)] | None = None
    email: EmailAddress | None = None
    phone: Phone | None = None
    billing_address: Address | None = None
    tax_ids: Annotated[tuple[Annotated[str, StringConstraints(max_length=40)], ...], Field(max_length=10)] | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None
    archived: Flag | None = None


@command("identity.send_invitation.v1")
class SendInvitation(Command[Invitation]):
    """Invite the customer's address (or another) to the portal; a pending invitation of it is superseded."""

    customer_id: CustomerId
    email: EmailAddress | None = None
    role: ContactRole = "owner"
    origin: Literal["merchant", "pay_link"] = "merchant"


@command("identity.revoke_invitation.v1")
class RevokeInvitation(Command[Invitation]):
    """Take a pending invitation back. Refusals: NotFound, InvitationNotUsable."""

    invitation_id: InvitationId


@command("identity.renew_invitation.v1")
class RenewInvitation(Command[None]):
    """Send a fresh mail to the address of a dead or unused link. Whoever holds the old link may ask."""

    token: Secret


@command("identity.update_person.v1")
class UpdatePerson(Command[Person]):
    """A person changes their own name, language or time zone."""

    name: Line | None = None
    locale: Locale | None = None
    time_zone: TimeZone | None = None


@question("identity.mail_facts.v1", askers=("notifications", "gateway"))
class IdentityMailFacts(Question[MailFacts]):
    """Is a mail about one of identity's nouns still true, and what link goes in it? Kind: *invitation*."""

    kind: Literal["invitation"]
    id: InvitationId


@question("identity.republish.v1", askers=("billing", "notifications", "todos", "gateway"))
class RepublishIdentity(Question[Republished]):
    """Send every current row of a noun to the asker's own queue."""

    noun: Literal["merchant", "logo", "person", "member", "customer", "contact", "invitation"]
    to: Service
