"""Write drawn pictures in the FashionAI layout: OUT/train and OUT/test, whole or not at all."""

import hashlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import alone, json_object, write_text
from garment_keypoints.pipeline.contract.formats.every_garment import NAME as GARMENTS
from garment_keypoints.pipeline.contract.formats.fashionai import ABSENT_CELL, CATEGORY, ID
from garment_keypoints.pipeline.contract.records import ABSENT, OCCLUDED, VISIBLE
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.sample.canvas import Worn
from garment_keypoints.pipeline.sample.scene import draw_scene
from PIL import Image
from rich.progress import track

SETTINGS = "sample.json"
MARKER = "unfinished-sample.txt"


def draw_dataset(out: Path, train: int, test: int, seed: int, size: int = 384) -> None:
    """Draw `train` and `test` pictures into OUT/train and OUT/test; the same seed gives the same files.

    OUT/train/Annotations/train.csv, OUT/test/{test,answer}.csv hold the labelled garments; all_garments.json beside them
    holds every garment that was drawn. Raises ValueError when OUT is something else already.
    """
    for name, value, least in (("train", train, 1), ("test", test, 1), ("size", size, 64)):
        if value < least:
            raise UserError(f"{name} is {value}; expected {least} or more")
    settings = {"train": train, "test": test, "seed": seed, "size": size}
    if out.exists() and any(out.iterdir()):
        file = out / SETTINGS
        if file.exists() and json_object(file) == settings:
            print(f"{out} is drawn already")
            return
        raise UserError(f"{out} is not empty and no sample of {settings}; choose another --out, or remove it")
    with alone(out, "choose another --out"):
        _draw(out, settings)
    print(f"drew {train} training and {test} test images into {out}")


def _draw(out: Path, settings: dict[str, int]) -> None:
    """Draw into a folder beside OUT, which becomes OUT at the end; an interrupt leaves nothing."""
    unfinished = out.absolute().with_name(out.absolute().name + ".partial")
    if unfinished.exists() and not any((unfinished / name).is_file() for name in (MARKER, SETTINGS)):
        raise UserError(f"{unfinished} is in the way and no unfinished sample; choose another --out, or move it away")
    shutil.rmtree(unfinished, ignore_errors=True)
    write_text(unfinished / MARKER, "a sample that is being drawn; may be removed\n")
    pool = ProcessPoolExecutor(os.cpu_count(), initializer=_start_worker)
    try:
        for split in ("train", "test"):
            _draw_split(unfinished / split, split, settings[split], settings["seed"], settings["size"], pool)
        write_text(unfinished / SETTINGS, json.dumps(settings))
        (unfinished / MARKER).unlink()
        if out.exists():
            out.rmdir()
        os.replace(unfinished, out)
    except BaseException:
        pool.shutdown(cancel_futures=True)
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    pool.shutdown()


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which ends its workers; end also when it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _draw_split(folder: Path, split: str, count: int, seed: int, size: int, pool: ProcessPoolExecutor) -> None:
    work = partial(_draw_one, folder, split, seed, size)
    drawn = list(track(pool.map(work, range(count), chunksize=4), f"drawing {split}", count))
    schema = load_schema()
    header = ",".join([ID, CATEGORY, *schema.keypoints])
    table = "\n".join([header, *(row for row, _ in drawn)]) + "\n"
    if split == "train":
        write_text(folder / "Annotations" / "train.csv", table)
    else:
        write_text(folder / "answer.csv", table)
        ids = [",".join(row.split(",")[:2]) for row, _ in drawn]
        write_text(folder / "test.csv", "\n".join([f"{ID},{CATEGORY}", *ids]) + "\n")
    garments = {row.split(",", 1)[0]: everything for row, everything in drawn}
    beside = folder / "Annotations" / GARMENTS if split == "train" else folder / GARMENTS
    write_text(beside, json.dumps(garments))


def _draw_one(folder: Path, split: str, seed: int, size: int, number: int) -> tuple[str, list[dict[str, Any]]]:
    """Draw one picture; return its CSV row and the truth of all its garments."""
    rng = np.random.default_rng([seed, split == "test", number])
    schema = load_schema()
    category = schema.categories[number % len(schema.categories)]
    while True:
        scene = draw_scene(rng, category, size)
        visibility = _visibility(scene.labelled, scene.picture.shape[:2])
        if (np.array(list(visibility.values())) == VISIBLE).sum() >= 3:
            break
    image_id = f"Images/{category}/{hashlib.md5(f'{seed} {split} {number}'.encode()).hexdigest()}.jpg"
    path = folder / image_id
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    Image.fromarray(scene.picture).save(content, format="JPEG", quality=int(rng.integers(72, 96)))
    try:
        path.write_bytes(content.getvalue())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    cells = [_cell(scene.labelled, visibility, name) for name in schema.keypoints]
    garments = [_truth(worn, scene.picture.shape[:2], worn is scene.labelled) for worn in scene.garments]
    return ",".join([image_id, category, *cells]), garments


def _visibility(worn: Worn, shape_hw: tuple[int, int]) -> dict[str, int]:
    """Return 1, 0 or -1 for each keypoint that the garment has; what the picture's border cuts off is absent."""
    inside = {n: (0 <= x <= shape_hw[1] and 0 <= y <= shape_hw[0]) for n, (x, y) in worn.points.items()}
    return {n: (OCCLUDED if n in worn.hidden else VISIBLE) if inside[n] else ABSENT for n in worn.points}


def _cell(worn: Worn, visibility: dict[str, int], name: str) -> str:
    if visibility.get(name, ABSENT) == ABSENT:
        return ABSENT_CELL
    x, y = np.rint(worn.points[name]).astype(int)
    return f"{x}_{y}_{visibility[name]}"


def _truth(worn: Worn, shape_hw: tuple[int, int], labelled: bool) -> dict[str, Any]:
    visibility = _visibility(worn, shape_hw)
    points = {n: [round(float(x), 2), round(float(y), 2), visibility[n]] for n, (x, y) in worn.points.items()}
    xy = np.array(list(worn.points.values()))
    box = np.concatenate([xy.min(0), xy.max(0)]).clip(0, [*shape_hw[::-1]] * 2)
    return {"category": worn.category, "labelled": labelled, "box": [round(float(v), 2) for v in box], "points": points}
