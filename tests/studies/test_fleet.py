"""The simulation of a catalogue: hand-worked cases, and the same rule written in another way."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.contract.faults import UserError
from pipeline.studies.fleet import HOUR, Fleet, _taken, simulate, suggested

SAFE = Fleet(
    processes=2, photos_per_second=10, start_s=5, shard_s=1, speed_sd=0, slow_share=0, death_hours=1e12,
    restart_s=0, poison_per_million=0,
)  # fmt: skip
"""Two processes alike, of which nothing is lost."""


@pytest.mark.parametrize(
    ("photos", "size", "seconds"),
    [
        (400, 100, 5 + 2 * 11),  # two shards each, of 100 photos at ten a second and a second more
        (450, 100, 5 + 11 + 11 + 6),  # one takes the half shard at the end as well
        (50, 100, 5 + 6),
    ],
)
def test_without_losses_the_time_is_that_of_the_busiest_process(photos: int, size: int, seconds: float) -> None:
    for dealing in ("taken", "dealt"):
        run = simulate(photos, size, SAFE, dealing, 0)
        assert run.hours * HOUR == pytest.approx(seconds)
        assert run.ideal_hours * HOUR == pytest.approx(photos / 20)
        assert run.deaths == 0


def test_a_slow_process_holds_up_what_was_dealt_to_it() -> None:
    fleet = replace(SAFE, processes=8, speed_sd=0.5)
    taken, dealt = (simulate(100_000, 100, fleet, dealing, 3) for dealing in ("taken", "dealt"))
    assert taken.ratio < 1.2 < 1.5 < dealt.ratio


def test_shards_are_taken_by_whoever_is_free_first() -> None:
    assert _taken(np.array([4.0, 4.0, 4.0]), np.array([2.0, 1.0])) == 4
    rng = np.random.default_rng(0)
    seconds, speed = rng.uniform(1, 10, 200), rng.uniform(0.5, 2, 7)
    free = np.zeros(7)
    for cost in seconds:
        first = free.argmin()
        free[first] += cost / speed[first]
    assert _taken(seconds, speed) == pytest.approx(free.max())


def test_what_deaths_cost() -> None:
    """A hundred thousand seconds of work, and a death every hour."""
    fleet = replace(SAFE, processes=1, death_hours=1.0, restart_s=30, shard_s=0)
    runs = [simulate(1_000_000, 10_000, fleet, "taken", seed) for seed in range(40)]
    assert np.mean([run.deaths for run in runs]) == pytest.approx(1e5 / HOUR, rel=0.1)
    lost = [run.hours * HOUR - 5 - 1e5 for run in runs]
    assert lost == pytest.approx([run.deaths * (30 + 5 + 256 / 10 / 2) for run in runs])


def test_what_a_poison_photo_costs() -> None:
    """Nine starts more, until 256 photos have become one, and those photos once more."""
    fleet = replace(SAFE, processes=1, poison_per_million=1000, shard_s=0)
    run = simulate(10_000, 1000, fleet, "taken", 0)
    assert run.deaths > 0
    photos, rest = divmod(run.deaths, 9)
    assert rest == 0
    assert run.hours * HOUR == pytest.approx(5 + 1000 + photos * (9 * 5 + 25.6))


def test_the_same_seed_has_the_same_luck() -> None:
    fleet = Fleet(processes=4, death_hours=1)
    runs = [simulate(200_000, 1000, fleet, "taken", seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_the_largest_shards_that_lose_nothing() -> None:
    assert suggested({100: 1.02, 1000: 1.0, 10_000: 1.009, 100_000: 1.2}) == 10_000
    assert suggested({100: 1.5}) == 100


@pytest.mark.parametrize(("photos", "size"), [(0, 10), (10, 0), (10_000_000, 1), (10, -1)])
def test_sizes_that_make_no_plan(photos: int, size: int) -> None:
    with pytest.raises(UserError, match=rf"{photos} photos in shards of {size}; expected 1 or more of each"):
        simulate(photos, size, SAFE, "taken", 0)


def test_settings_out_of_range() -> None:
    with pytest.raises(UserError, match="processes is 0; expected 1 to 100000"):
        replace(SAFE, processes=0).check()
