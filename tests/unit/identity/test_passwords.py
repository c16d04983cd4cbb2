import asyncio
import threading
import time

import pytest

from services.identity.security import Passwords


@pytest.fixture
def cheap() -> Passwords:
    return Passwords(memory_kib=8, passes=1)


async def test_a_hash_is_argon2id_with_64_mebibytes_and_three_passes() -> None:
    assert (await Passwords().hash("correct horse")).startswith("$argon2id$v=19$m=65536,t=3,p=1$")


async def test_only_the_right_password_fits(cheap: Passwords) -> None:
    stored = await cheap.hash("correct horse")
    assert await cheap.fits("correct horse", stored) is True
    assert await cheap.fits("Correct horse", stored) is False
    assert await cheap.fits("", stored) is False


async def test_the_same_password_never_has_the_same_hash(cheap: Passwords) -> None:
    assert await cheap.hash("correct horse") != await cheap.hash("correct horse")


async def test_nobodys_password_fits_never_and_costs_a_real_hash() -> None:
    async with Passwords() as passwords:
        stored = await passwords.hash("correct horse")
        spent = {}
        for who, kept in (("somebody", stored), ("nobody", None)):
            started = time.process_time()
            assert await passwords.fits("wrong", kept) is False
            spent[who] = time.process_time() - started
    # CPU time of this process: 40 ms is far from nothing, and the two are of the same kind.
    assert spent["nobody"] > 0.04
    assert 0.5 < spent["nobody"] / spent["somebody"] < 2


async def test_a_hash_with_other_parameters_is_outdated(cheap: Passwords) -> None:
    assert cheap.outdated(await Passwords(memory_kib=16, passes=1).hash("correct horse")) is True
    assert cheap.outdated(await cheap.hash("correct horse")) is False


async def test_a_damaged_hash_fits_nothing(cheap: Passwords) -> None:
    assert await cheap.fits("correct horse", "$argon2id$damaged") is False


async def test_hashes_are_made_one_at_a_time_and_off_the_loop(
    cheap: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, most, threads = 0, 0, set()

    def slow(password: str) -> str:
        nonlocal at_once, most
        threads.add(threading.current_thread())
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.02)
        at_once -= 1
        return password

    monkeypatch.setattr(cheap, "_hasher", type("Slow", (), {"hash": staticmethod(slow)})())
    await asyncio.gather(*(cheap.hash("x") for _ in range(4)))
    assert most == 1
    assert threading.main_thread() not in threads
