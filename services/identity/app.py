from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

from chassis.service import Schedule, Service, steps
from contracts import identity as said
from services.identity import cli, schedules, store
from services.identity.handlers import acceptance, customers, invitations, merchants, people
from services.identity.security import Passwords
from services.identity.settings import Settings


def build() -> Service:
    """Which function answers what."""
    settings = Settings.load("identity")
    key, passwords = settings.secret_key, Passwords()
    return Service(
        "identity",
        settings,
        migrations=Path(__file__).parent / "migrations",
        commands={
            said.AcceptInvitation: steps(partial(acceptance.accept_invitation, passwords=passwords)),
            said.UpdateMerchant: merchants.update_merchant,
            said.SetLogo: steps(merchants.set_logo),
            said.CreateCustomer: customers.create_customer,
            said.UpdateCustomer: customers.update_customer,
            said.SendInvitation: partial(invitations.send_invitation, key=key),
            said.RevokeInvitation: invitations.revoke_invitation,
            said.RenewInvitation: partial(invitations.renew_invitation, key=key),
            said.UpdatePerson: people.update_person,
        },
        questions={
            said.SignIn: partial(people.sign_in, passwords=passwords),
            said.ViewInvitation: invitations.view_invitation,
            said.IdentityMailFacts: partial(invitations.mail_facts, key=key),
        },
        nouns=store.EVERY,
        schedules=[
            Schedule("identity.expire-invitations", timedelta(minutes=1), schedules.expire_invitations),
            Schedule("identity.forget-attempts", timedelta(hours=1), schedules.forget_attempts),
        ],
        resources=[passwords],
        cli={"create-merchant": cli.create_merchant},
    )
