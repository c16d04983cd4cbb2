"""What time alone brings about."""

from __future__ import annotations

from chassis.service import Runtime
from contracts.identity import InvitationExpired
from services.identity.domain.limits import LONGEST_WINDOW
from services.identity.store import attempts, invitations

_BATCH = 100


async def expire_invitations(runtime: Runtime) -> None:
    """Say of each invitation whose seven days are over that it has expired. None works after that, said or not."""
    while True:
        async with runtime.db.transaction(runtime.system_cause()) as tx:
            due = await invitations.lock_due(tx, tx.now, _BATCH)
            for invitation in due:
                expired = invitation.model_copy(update={"status": "expired"})
                tx.announce(InvitationExpired(state=expired), sequence=await invitations.save_invitation(tx, expired))
        if len(due) < _BATCH:
            return


async def forget_attempts(runtime: Runtime) -> None:
    """Keep no attempt longer than a limit needs it."""
    await attempts.forget_old_attempts(runtime.db, runtime.clock.now() - LONGEST_WINDOW)
