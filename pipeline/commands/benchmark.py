"""The verb that measures how fast photos are predicted: from file to points, by runtime, batch and threads."""

import itertools
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil
import torch
from garment_keypoints.pipeline import api
from garment_keypoints.pipeline.contract import warp
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import refuse_foreign
from garment_keypoints.pipeline.data.photos import find_photos
from garment_keypoints.pipeline.engine import predictor as engine
from garment_keypoints.pipeline.engine.refinement import OwnPoints
from garment_keypoints.pipeline.engine.starts import start_times
from garment_keypoints.pipeline.learning.pairs import DEFAULT, GRAPHS
from garment_keypoints.pipeline.runs.json_files import holds, write_json
from garment_keypoints.pipeline.runs.provenance import provenance
from garment_keypoints.pipeline.sample.write import draw_dataset

log = logging.getLogger("garment_keypoints")
STAGES = ("decode", "detector", "crop", "keypoints")
DRAWN, SIDE = 32, 512
"""Photos that are drawn where none are named, and their longer side."""


@dataclass(frozen=True)
class Setting:
    """What is compared."""

    runtime: str
    batch: int
    threads: int
    flip_test: bool


@dataclass(frozen=True)
class Speed:
    """What came out: photos a second, milliseconds a photo by stage and of the rest, memory of the process in GB."""

    setting: Setting
    photos: int
    garments: int
    photos_per_second: float
    stages_ms: dict[str, float]
    memory_gb: float

    @property
    def share_of_networks(self) -> float:
        """Which part of the time both networks have: what they would do alone, against what the whole does."""
        return (self.stages_ms["detector"] + self.stages_ms["keypoints"]) * self.photos_per_second / 1000


def benchmark(
    out: Path | None = None,
    photos: Sequence[str] = (),
    weights: str = DEFAULT,
    runtimes: Sequence[str] = ("torch", "onnx"),
    batches: Sequence[int] = (1, 8),
    threads: Sequence[int] = (),
    flip_tests: Sequence[str] = ("true", "false"),
    seconds: float = 8.0,
    rounds: int = 2,
) -> None:
    """Measure photos a second from file to points, by runtime, batch, threads and flip test, and seconds to start, in one run.

    Args:
        out: results file, .json
        photos: photos to predict, as `predict` takes them; without any, 32 are drawn, of 512 pixels
        weights: pair of networks: the name of a packaged one, or a folder that `publish` wrote
        runtimes: torch, onnx, int8 (of pairs that have graphs in eight bits)
        batches: photos that go through the networks together
        threads: threads of the networks; without any, one and all cores
        flip_tests: true, false
        seconds: how long each is measured, a round
        rounds: how often all are measured, in turn; the best round counts, since what else the machine does only slows
    """
    if not seconds > 0 or rounds < 1:
        raise UserError(f"--seconds is {seconds}, --rounds {rounds}; expected more than 0, and 1 or more")
    if out is not None:
        refuse_foreign(
            out, lambda file: holds(file, "speeds", "provenance"), "what this command wrote", "choose another --out"
        )
    cores = psutil.cpu_count() or 1
    settings = [
        Setting(runtime, batch, count, flip == "true")
        for flip, runtime, batch, count in itertools.product(
            _among(flip_tests, ("true", "false"), "flip_tests"), _among(runtimes, ("torch", *GRAPHS), "runtimes"),
            batches, threads or sorted({1, cores}),
        )
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        files = _files(photos, Path(folder))
        best: dict[Setting, Speed] = {}
        # Each in a process of its own, so that neither memory nor threads of one are another's.
        context = multiprocessing.get_context("spawn")
        for number, setting in itertools.product(range(rounds), settings):
            log.info("round %d of %d: %s", number + 1, rounds, setting)
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                speed = pool.submit(measure, setting, weights, files, seconds).result()
            if setting not in best or speed.photos_per_second > best[setting].photos_per_second:
                best[setting] = speed
        starts = start_times(weights, Path(files[0]), rounds)
    print(table(list(best.values())))
    print("\nSeconds from start to exit: " + ", ".join(f"{name} {value}" for name, value in starts.items()))
    if out is not None:
        speeds = [asdict(one) for one in best.values()]
        write_json(out, {"provenance": provenance(), "speeds": speeds, "start_s": starts})


def measure(setting: Setting, weights: str, files: Sequence[str], seconds: float) -> Speed:
    """Predict the files over and over, as a stream, for so many seconds, after a first batch that does not count."""
    torch.set_num_threads(setting.threads)
    predictor = api.load(
        weights, runtime=setting.runtime, batch=setting.batch, flip_test=setting.flip_test, device="cpu"
    )
    predictor(files[: setting.batch])
    spent = dict.fromkeys(STAGES, 0.0)
    with _timed(predictor, spent), closing(predictor.batches(cycle(files))) as batches:
        done, garments, start = 0, 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            results = next(batches)
            done, garments = done + len(results), garments + sum(len(one.garments) for one in results)
        wall = time.perf_counter() - start
    stages = {name: 1000 * one / done for name, one in spent.items()}
    stages["rest"] = 1000 * wall / done - sum(one for name, one in stages.items() if name != "decode")
    memory = psutil.Process().memory_info().rss / 1e9
    return Speed(setting, done, garments, done / wall, stages, memory)


@contextmanager
def _timed(predictor: api.Predictor, spent: dict[str, float]) -> Iterator[None]:
    """Add to `spent` the seconds of each stage. Photos are decoded in threads: theirs add up."""
    places = {
        "decode": (engine, "read_image"),
        "detector": (_first(predictor.stages.source).detector.network, "detections"),
        "crop": (warp, "crop"),
        "keypoints": (predictor.stages.locator, "locate"),
    }
    before = {name: getattr(*place) for name, place in places.items()}
    for name, (owner, attribute) in places.items():
        setattr(owner, attribute, _adding(before[name], name, spent))
    try:
        yield
    finally:
        for name, (owner, attribute) in places.items():
            setattr(owner, attribute, before[name])


def _first(source: Any) -> Any:
    """Return the source of the first pass."""
    return _first(source.source) if isinstance(source, OwnPoints) else source


def _adding(function: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    @wraps(function)
    def timed(*arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[name] += time.perf_counter() - start

    return timed


def table(speeds: Sequence[Speed]) -> str:
    """Write the speeds as Markdown; the factor is that to torch with the same batch, threads and flip test."""
    lines = [
        f"| runtime | batch | threads | flip test | photos/s | to torch | {' | '.join(STAGES)} | rest | networks | memory GB |",
        "|---" * (9 + len(STAGES)) + "|",
    ]
    known = {(one.setting.runtime, *_rest(one.setting)): one.photos_per_second for one in speeds}
    for one in speeds:
        setting, eager = one.setting, known.get(("torch", *_rest(one.setting)))
        factor = f"x{one.photos_per_second / eager:.2f}" if eager else "-"
        times = " | ".join(f"{one.stages_ms[name]:.1f}" for name in (*STAGES, "rest"))
        lines.append(
            f"| {setting.runtime} | {setting.batch} | {setting.threads} | {'yes' if setting.flip_test else 'no'} | "
            f"{one.photos_per_second:.1f} | {factor} | {times} | {one.share_of_networks:.2f} | {one.memory_gb:.2f} |"
        )
    lines.append(
        "\nStages in milliseconds a photo; decoding runs in two threads beside the rest, and counts those of both. Networks: the "
        "share of the time that goes by inside the two, 1 if nothing else held them up."
    )
    return "\n".join(lines)


def _rest(setting: Setting) -> tuple[int, int, bool]:
    return setting.batch, setting.threads, setting.flip_test


def _among(values: Sequence[str], known: Sequence[str], name: str) -> Sequence[str]:
    wrong = [value for value in values if value not in known]
    if wrong or not values:
        raise UserError(f"--{name} is {' '.join(values)!r}; expected some of {', '.join(known)}")
    return values


def _files(photos: Sequence[str], folder: Path) -> list[str]:
    """Return files to predict: those named, or drawn ones."""
    if photos:
        files = [str(photo.path) for photo in find_photos(photos) if photo.path is not None]
        if not files:
            raise UserError(f"--photos {' '.join(photos)}: only videos; expected photos")
        return files
    draw_dataset(folder / "drawn", train=1, test=DRAWN, seed=0, size=SIDE)
    return sorted(map(str, (folder / "drawn" / "test" / "Images").rglob("*.jpg")))
