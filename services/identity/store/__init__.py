"""All of identity's SQL, one function per statement. States go in and come out; `sequence` is the row's version."""

from collections.abc import AsyncIterator, Callable
from typing import Any

from chassis.database import Database
from chassis.republish import CurrentRow
from contracts.identity import Contact, Customer, Invitation, Logo, Member, Merchant, Person

from .customers import every_customer
from .invitations import every_invitation
from .merchants import every_logo, every_merchant
from .people import every_contact, every_member, every_person

EVERY: dict[type[Any], Callable[[Database], AsyncIterator[CurrentRow]]] = {
    Merchant: every_merchant,
    Logo: every_logo,
    Person: every_person,
    Member: every_member,
    Customer: every_customer,
    Contact: every_contact,
    Invitation: every_invitation,
}
"""What Republish reads of each noun."""
