"""Faults that a test asks for: the next matching requests hang, fail, are cut, or lose their response."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["hang", "error_500", "rate_limit_429", "reset", "drop_response_after_effect"]


class Match(BaseModel):
    """Which requests: the method (null = any) and the path, `*` standing for anything."""

    model_config = ConfigDict(extra="forbid")

    method: str | None = None
    path: str = "*"


class Fault(BaseModel):
    """One fault.

    - `hang`: waits `seconds`, then does the effect and answers; the key is in flight meanwhile.
    - `error_500`: no effect; the 500 is stored under the idempotency key, as Stripe does.
    - `rate_limit_429`: no effect, nothing stored.
    - `reset`: the connection is reset before any effect.
    - `drop_response_after_effect`: the effect is committed, then the connection is reset.
    """

    model_config = ConfigDict(extra="forbid")

    match: Match = Field(default_factory=Match)
    times: int = Field(default=1, ge=1)
    kind: Kind
    seconds: float = Field(default=0.0, ge=0.0)


@dataclass
class Faults:
    """Faults still to come, oldest first. In memory: a restart heals everything."""

    waiting: list[Fault] = field(default_factory=list)

    def take(self, method: str, path: str) -> Fault | None:
        """The first fault for this request, counted as used."""
        for fault in self.waiting:
            if fault.match.method in (None, method) and fnmatchcase(path, fault.match.path):
                fault.times -= 1
                if fault.times == 0:
                    self.waiting.remove(fault)
                return fault
        return None
