"""The load, in a process of its own: `python -m bench.held_load`, told what to do line by line."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from bench.ground import answer_lines
from bench.held_people import Crowd, Said, Stopped
from bench.measure import percentile

MOST_AT_ONCE = 3000
"""Actions under way; what the clock wants beyond is not begun, and counted."""
WELL = 10.0

Json = dict[str, Any]


class Load:
    """Answers the questions of `bench.held`, each a phase of the run."""

    def __init__(self) -> None:
        self.crowd: Crowd

    async def answer(self, question: Json) -> Json:
        do: Callable[..., Awaitable[Json]] = getattr(self, question.pop("do"))
        return await do(**question)

    async def gather(self, state: str, seed: int, customers: int) -> Json:
        """Everybody signs in."""
        self.crowd = Crowd(json.loads(await asyncio.to_thread(Path(state).read_text)), seed)
        self._watching = asyncio.create_task(self.crowd.mails.watch())
        began = time.monotonic()
        await self.crowd.gather(customers)
        return {"seconds": time.monotonic() - began} | summary(self.crowd.said, began)

    async def keep_told(self, count: int) -> Json:
        """So many pages stay open from now on."""
        self.crowd.keep_told(count)
        return {}

    async def closed(self, workers: int, seconds: float) -> Json:
        """`workers` at a time, each beginning the next action when its last has ended."""
        said, began = self._phase()
        end = began + seconds

        async def work() -> None:
            while time.monotonic() < end:
                await self._act(0)

        await asyncio.gather(*(work() for _ in range(workers)))
        return summary(said, began)

    async def open(self, stages: list[tuple[float, float]]) -> Json:
        """For each stage so many actions a second for so many seconds, whatever becomes of them, one after the other.

        Arrivals are drawn beforehand, so their number is bounded. An answer counts in the stage that it was asked in.
        """
        under_way: set[asyncio.Task[None]] = set()
        phases = []
        for rate, seconds in stages:
            said, began = self._phase()
            phases.append((said, began))
            for arrival in self._arrivals(rate, seconds):
                wait = began + arrival - time.monotonic()
                if wait > 0:
                    await asyncio.sleep(wait)
                if len(under_way) >= MOST_AT_ONCE:
                    said.unsent += 1
                    continue
                task = asyncio.create_task(self._act(began + arrival))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way)
        return {"stages": [summary(said, began) for said, began in phases]}

    def _arrivals(self, rate: float, seconds: float) -> list[float]:
        arrivals, at = [], 0.0
        while (at := at + self.crowd.rng.expovariate(rate)) < seconds:
            arrivals.append(at)
        return arrivals

    async def finish(self, into: str) -> Json:
        """Close the pages, and write down what clients were told."""
        for task in [*self.crowd.streams, self._watching]:
            task.cancel()
        await asyncio.gather(*self.crowd.streams, return_exceptions=True)
        record = self.crowd.record
        told = json.dumps({name: getattr(record, name) for name in ("done", "shed", "unknown", "paid")})
        await asyncio.to_thread(Path(into).write_text, told)
        return {"told": self.crowd.told}

    def _phase(self) -> tuple[Said, float]:
        self.crowd.said = Said()
        return self.crowd.said, time.monotonic()

    async def _act(self, since: float) -> None:
        crowd = self.crowd
        said = crowd.said
        said.actions += 1
        kinds, weights = crowd.actions()
        action = crowd.rng.choices(kinds, weights)[0]
        try:
            await action(since)
            said.completed += 1
        except Stopped:
            return  # counted where it happened
        except Exception as surprise:  # noqa: BLE001 - the load goes on, and the run is told
            said.wrong.append(f"{action.__name__}: {surprise!r}")


def summary(said: Said, began: float) -> Json:
    """A phase's answer: counts by kind and status, milliseconds, refusals by the second."""
    statuses = {kind: dict(counts) for kind, counts in said.statuses.items()}
    latency = {
        kind: {
            "n": len(took),
            "p50": percentile(took, 0.5) * 1000,
            "p99": percentile(took, 0.99) * 1000,
            "max": max(took) * 1000,
        }
        for kind, took in said.seconds.items()
    }
    bad = [moment - began for moment, status in said.moments if status[0] not in "23"]
    return {
        "actions": said.actions,
        "completed": said.completed,
        "unsent": said.unsent,
        "requests": len(said.moments),
        "statuses": statuses,
        "latency_ms": latency,
        "well_from": well_from(bad),
        "without_retry_after": said.without_retry_after,
        "wrong": said.wrong,
        "began": began,
        "took": time.monotonic() - began,
    }


def well_from(bad: list[float]) -> float:
    """When the first stretch of WELL seconds without a refusal or error begins, given the seconds of each."""
    since = 0.0
    for moment in sorted(bad):
        if moment - since >= WELL:
            break
        since = moment
    return since


if __name__ == "__main__":
    uvloop.run(answer_lines(Load().answer))
