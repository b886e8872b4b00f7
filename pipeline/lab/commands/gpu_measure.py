"""The verb that compares the pipeline on the device with the CPU: points, throughput, waits, memory."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from garment_keypoints.pipeline.api import Predictor, Result, load
from garment_keypoints.pipeline.contract.images import read_image
from garment_keypoints.pipeline.contract.records import ImageBatch
from garment_keypoints.pipeline.engine.refinement import OwnPoints
from garment_keypoints.pipeline.learning.loading import UNIFORMS, collate
from garment_keypoints.pipeline.reporting.tables import as_table
from garment_keypoints.pipeline.runs.json_files import write_json

FRACTIONS = "largest_px", "mean_px", "within"
BATCH, LARGEST_PX, LEAST_SHARE, SAME_BOX_PX = 16, 0.05, 0.9, 8.0
"""Photos a step; bars of float32 points and of the pipeline's throughput; boxes that are of the same garment."""


def gpu_measure(photos: Path, out: Path, count: int = 64, seconds: float = 6.0) -> None:
    """Compare the shipped pair on the device with the CPU, and measure what holds it up.

    Args:
        photos: folder of photos
        out: JSON for the figures
        count: so many of the photos, spread evenly
        seconds: how long each rate is measured
    """
    every = sorted(photos.rglob("*.jpg"))
    files = [str(every[i]) for i in np.linspace(0, len(every) - 1, min(count, len(every))).astype(int)]
    on_gpu = torch.cuda.is_available()
    known = load(device="cpu", runtime="torch", batch=BATCH)(files)
    predictor = load(device="gpu" if on_gpu else "cpu", runtime="torch", batch=BATCH)
    record: dict[str, Any] = {"device": torch.cuda.get_device_name() if on_gpu else "CPU", "photos": len(files)}
    record["points"] = {}

    def keep(**figures: Any) -> None:
        """Write what is known so far: what cuts this off costs the rest alone."""
        record.update(figures)
        write_json(out, record | {"text": as_text(record)})

    for name, found in _in_each_precision(predictor, files):
        record["points"][name] = compared(known, found)
        keep()
    batches = [batch_of(files[i : i + BATCH]) for i in range(0, len(files), BATCH)]
    keep(precision="bfloat16" if predictor.dtype else "float32")
    keep(throughput=throughput(predictor, batches, seconds), memory_gb=memory(on_gpu))
    keep(waits={str(size): waits(predictor, files[:size]) for size in (2, 8)} if on_gpu else None)
    print(as_text(record))


def _in_each_precision(predictor: Predictor, files: Sequence[str]) -> Iterator[tuple[str, list[Result]]]:
    """Yield what the predictor finds in float32, and on a GPU with TensorFloat-32 and in bfloat16, in which it is left.

    A CPU is asked for float32 alone: without units for bfloat16 it takes minutes for it.
    """
    allowed = torch.backends.cudnn.allow_tf32
    settings = [("float32", False, None), ("float32, TF32", True, None), ("bfloat16", allowed, torch.bfloat16)]
    for name, tf32, dtype in settings if predictor.device != "cpu" else settings[:1]:
        torch.backends.cudnn.allow_tf32, predictor.dtype = tf32, dtype
        yield name, predictor(files)
    torch.backends.cudnn.allow_tf32 = allowed


def compared(known: Sequence[Result], found: Sequence[Result]) -> dict[str, float]:
    """Return how far the points of garments lie from those that are known, in pixels of the photo.

    A garment is the same where category and box are; `unmatched` counts those of either side that have no other.
    """
    distances, unmatched, garments = [np.zeros(0)], 0, 0
    for one, other in zip(known, found, strict=True):
        left = list(other.garments)
        for garment in one.garments:
            same = [
                g for g in left if g.category == garment.category and np.abs(g.box - garment.box).max() <= SAME_BOX_PX
            ]
            garments += 1
            if not same:
                unmatched += 1
                continue
            left.remove(same[0])
            apart = np.linalg.norm(same[0].xy - garment.xy, axis=-1)
            distances.append(apart[np.isfinite(apart)])
        unmatched += len(left)
    every = np.concatenate(distances)
    if not len(every):
        return {
            "garments": garments,
            "unmatched": unmatched,
            "largest_px": float("nan"),
            "mean_px": float("nan"),
            "within": 0.0,
        }
    within = float((every <= LARGEST_PX).mean())
    return {
        "garments": garments, "unmatched": unmatched,
        "largest_px": float(every.max()), "mean_px": float(every.mean()), "within": within,
    }  # fmt: skip


def batch_of(files: Sequence[str]) -> ImageBatch:
    """Return photos as the loader gives them, on the host."""
    return collate([(read_image(Path(file)), 0, i, np.zeros(UNIFORMS)) for i, file in enumerate(files)])


def throughput(predictor: Predictor, batches: Sequence[ImageBatch], seconds: float) -> dict[str, float]:
    """Return photos a second of the whole, from batches on the host to points, and of each network alone.

    A network alone gets again and again what the whole gave it, its inputs on the device already.
    """
    stages, photos = predictor.stages, sum(len(batch) for batch in batches)
    places = {
        "detector": (_first(stages.source).detector.network, "detections"),
        "keypoints": (stages.locator, "locate"),
    }
    with _autocast(predictor), torch.no_grad():

        def whole() -> None:
            for batch in batches:
                stages.predict_step(batch.to(predictor.device))

        with _inputs_of(places) as given:
            whole()
        made = {"whole": _rate(whole, photos, seconds)}
        for name, (owner, attribute) in places.items():
            calls, function = given[name], getattr(owner, attribute)
            made[name] = _rate(
                lambda calls=calls, function=function: [function(*one) for one in calls], photos, seconds
            )
    slower = min(made["detector"], made["keypoints"])
    return made | {"share_of_slower": made["whole"] / slower}


@contextmanager
def _inputs_of(places: dict[str, tuple[Any, str]]) -> Iterator[dict[str, list[tuple]]]:
    """Keep what these functions are called with."""
    given: dict[str, list[tuple]] = {name: [] for name in places}
    before = {name: getattr(*place) for name, place in places.items()}

    def keeping(name: str) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            given[name].append(arguments)
            return before[name](*arguments)

        return called

    for name, (owner, attribute) in places.items():
        setattr(owner, attribute, keeping(name))
    try:
        yield given
    finally:
        for name, (owner, attribute) in places.items():
            setattr(owner, attribute, before[name])


def _rate(once: Callable[[], Any], photos: int, seconds: float) -> float:
    """Return photos a second of what handles so many photos at once, after a first time that does not count."""
    once()
    _finish()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        once()
        _finish()
        count += photos
    return count / (time.perf_counter() - start)


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def waits(predictor: Predictor, files: Sequence[str]) -> int:
    """Return how often a step over these photos waits for the device, as torch's own debug mode counts."""
    batch = batch_of(files).to(predictor.device)
    with _autocast(predictor), torch.no_grad():
        predictor.stages.predict_step(batch)  # what is made once is made now
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                predictor.stages.predict_step(batch)
            finally:
                torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in caught)


def memory(on_gpu: bool) -> dict[str, float]:
    """Return what this process holds on the host, and has held on the device at most, in GB (10^9 bytes)."""
    held = {"host": psutil.Process().memory_info().rss / 1e9}
    if on_gpu:
        held |= {
            "device": torch.cuda.max_memory_allocated() / 1e9,
            "device_reserved": torch.cuda.max_memory_reserved() / 1e9,
        }
    return held


def as_text(record: dict[str, Any]) -> str:
    """Write the figures that there are as Markdown."""
    rows = [
        [name, *(str(one[key]) for key in ("garments", "unmatched")), *(f"{one[key]:.4f}" for key in FRACTIONS)]
        for name, one in record["points"].items()
    ]
    head = ["device in", "garments", "unmatched", "largest px", "mean px", f"within {LARGEST_PX} px"]
    parts = [f"{record['photos']} photos on {record['device']}, against the CPU in float32 on the same machine:"]
    parts.append(as_table(head, rows).strip())
    if "throughput" in record:
        rate = record["throughput"]
        memory_gb = ", ".join(f"{name} {value:.2f}" for name, value in record["memory_gb"].items())
        parts.append(
            f"Photos a second in {record['precision']}, batches of {BATCH} from the host: whole {rate['whole']:.1f}; alone: "
            f"detector {rate['detector']:.1f}, keypoints {rate['keypoints']:.1f}; share of the slower one "
            f"{rate['share_of_slower']:.3f} (bar {LEAST_SHARE}). Memory in GB: {memory_gb}."
        )
    if "waits" in record:
        waited = "torch counts them on a GPU alone" if record["waits"] is None else str(record["waits"])
        parts.append(f"Waits for the device a step, by photos: {waited}.")
    return "\n\n".join(parts)


def _autocast(predictor: Predictor) -> Any:
    return torch.autocast(predictor.device, dtype=predictor.dtype) if predictor.dtype else nullcontext()


def _first(source: Any) -> Any:
    """Return the source of the first crops."""
    return _first(source.source) if isinstance(source, OwnPoints) else source
