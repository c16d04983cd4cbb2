"""Load through the public API: several customers at once, each with a story of its own."""

import itertools
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from local.demo_logo import logo_png
from local.mailbox.store import Store
from local.portal_client import ApiError, Portal
from tests.chaos import later
from tests.chaos.customer import PATIENCE, Customer, Record
from tests.chaos.plant import ADMIN, Plant, stretched


class Load:
    """Several customers at once until told to stop; each journey is finished."""

    def __init__(
        self, plant: Plant, seed: int, *, at_once: int = 2, chapters: Sequence[later.Chapter] = later.CHAPTERS
    ) -> None:
        self.plant = plant
        self.record = Record()
        self.journeys = 0
        self._going = threading.Event()
        self._chapters = itertools.cycle(chapters)
        self._turn = threading.Lock()
        self.admin = Portal(plant.gateway)
        self.logo = logo_png()
        self._threads = [
            threading.Thread(
                target=self._run, args=(random.Random(f"{seed} {number}"),), name=f"load-{number}", daemon=True
            )
            for number in range(at_once)
        ]

    def start(self) -> None:
        """Sign the merchant in, then begin."""
        end = time.monotonic() + stretched(PATIENCE)
        while self.admin.token is None:
            try:
                self.admin.sign_in(**ADMIN)
            except ApiError as refused:
                self.record.refuse("sign-in", refused)
                if time.monotonic() > end:
                    raise
            except httpx.HTTPError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.2)
        self._going.set()
        for thread in self._threads:
            thread.start()

    def _run(self, rng: random.Random) -> None:
        while self._going.is_set():
            customer = Customer(self.plant, self.admin, self.record, rng)
            try:
                self.journey(customer, rng)
                self.journeys += 1
            except Exception as surprise:  # noqa: BLE001 - told at the end as a broken journey
                self.record.broken.append(f"{customer.email}: {surprise!r}")
                time.sleep(0.5)

    def journey(self, customer: Customer, rng: random.Random) -> None:
        """The story, shuffled a little; cut short once the load is to stop."""
        customer.sign_up()
        first = customer.link(send_email=True)
        customer.pay(first, decline_first=rng.random() < 0.3)
        customer.office(self.logo)
        for _ in range(2):
            if not self._going.is_set():
                return
            self._chapter(customer)
            customer.todos()
            invoice = customer.link(send_email=rng.random() < 0.5)
            if rng.random() < 0.8:
                customer.pay(invoice)

    def _chapter(self, customer: Customer) -> None:
        """The next of what comes later, whoever's turn it is: none is left out, however short the run."""
        with self._turn:
            chapter = next(self._chapters, None)
        if chapter is not None:
            chapter(customer)

    def give_up(self) -> None:
        """Begin nothing new; do not wait."""
        self._going.clear()

    @property
    def stopped(self) -> bool:
        """Whether every journey has ended."""
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Begin nothing new and wait for what is under way, tending the plant."""
        self._going.clear()
        self.plant.until("the load to finish", lambda: self.stopped, PATIENCE + 30)


def mails(folder: Path) -> list[Any]:
    """Every mail that the mailbox keeps, read from its files."""
    return Store(folder).all()
