"""What became of mails, to stand beside the invitation or invoice that they are about."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from contracts.notifications import Mail
from services.gateway.domain import Viewer
from services.gateway.readmodel.lists import Reader


async def mails_about(db: Reader, viewer: Viewer, subjects: Sequence[UUID]) -> dict[UUID, tuple[Mail, ...]]:
    """The mails about each invitation, invoice or payment, newest first. Members only: a contact gets none.

    A receipt's mail is about a payment, and is found under its invoice too.
    """
    if not subjects or not viewer.is_member:
        return {}
    rows = await db.fetch(
        """
        SELECT DISTINCT ON (id) id, subject_id, invoice_id, state FROM (
            SELECT id, subject_id, invoice_id, state FROM copy_mail
            WHERE merchant_id = $1 AND subject_id = ANY($2::uuid[]) AND NOT deleted
            UNION ALL
            SELECT id, subject_id, invoice_id, state FROM copy_mail
            WHERE merchant_id = $1 AND invoice_id = ANY($2::uuid[]) AND NOT deleted
        ) AS found
        ORDER BY id DESC LIMIT 500
        """,
        viewer.merchant_id,
        list(subjects),
    )
    found: dict[UUID, list[Mail]] = {}
    for row in rows:
        mail = Mail.model_validate_json(row["state"])
        for subject in {row["subject_id"], row["invoice_id"]} & set(subjects):
            found.setdefault(subject, []).append(mail)
    return {subject: tuple(mails) for subject, mails in found.items()}
