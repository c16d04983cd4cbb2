import asyncio
import json
import os
from pathlib import Path
from typing import Any

from local.stripe.store import Store

Json = dict[str, Any]


class Ledger:
    """The file `ledger.jsonl`: one line per money movement, fsynced before the response that reports it.

    A line: `{"seq", "time" (ISO 8601 UTC), "kind" ("charge.succeeded", "refund.succeeded", "refund.failed",
    "dispute.funds_withdrawn", "dispute.funds_reinstated"), "payment_intent", "charge", "refund", "dispute",
    "checkout_session", "amount" (minor units), "currency" (lower case), "account" (null = the platform), "metadata" (of
    the payment intent), "idempotency_key"}`. The numbers come from the database's transaction, so a sandbox killed between
    commit and file writes the missing lines after its next start, each once.
    """

    def __init__(self, path: Path, store: Store) -> None:
        self.path = path
        self._store = store
        self._written = self._last_number()
        self._turn = asyncio.Lock()

    async def flush(self) -> None:
        """Appends every committed line that the file does not have yet, and fsyncs; in one go for all who wait."""
        # Shielded: a caller who leaves must not let the next one write the same lines.
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def _flush(self) -> None:
        async with self._turn:
            if lines := self._store.ledger_after(self._written):
                await asyncio.to_thread(self._append, lines)
                self._written = lines[-1]["seq"]

    def _append(self, lines: list[Json]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            for line in lines:
                file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Json]:
        """Every line."""
        return self._store.ledger_after(0)

    def _last_number(self) -> int:
        """The last whole line's number. A torn last line (killed while writing) is cut off, to be written again."""
        if not self.path.exists():
            return 0
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(self.path, len(whole))
        lines = whole.splitlines()
        return int(json.loads(lines[-1])["seq"]) if lines else 0
