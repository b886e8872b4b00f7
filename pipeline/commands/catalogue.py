"""The verb that predicts a catalogue on a cluster of Ray: the shards of `predict --manifest`, made by many at once."""

import importlib
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from garment_keypoints.pipeline.contract.faults import BusyError, UserError
from garment_keypoints.pipeline.contract.formats.catalogue import count_found, open_manifest
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.engine.catalogue import photos_done, state_of
from garment_keypoints.pipeline.engine.cluster import BUSY, THERE, Drive, Made, Report
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.manifest import CatalogueJob, ShardMaker, any_read_of
from garment_keypoints.pipeline.engine.predictor import DetectionOptions
from garment_keypoints.pipeline.learning.pairs import Weights
from garment_keypoints.pipeline.reporting.tables import as_table
from garment_keypoints.pipeline.runs.json_files import holds, read_json, write_json
from garment_keypoints.pipeline.runs.provenance import provenance

RECORD = "catalogue.json"
BUSY_S = 2.0
"""Seconds that a predictor waits when another process is at its shard."""


class CatalogueActor:
    """What runs in an actor of Ray: a predictor, which makes one shard at a time."""

    def __init__(self, job: CatalogueJob, cores: int) -> None:
        self.job, self.cores = job, cores
        self.maker: ShardMaker | None = None

    def load(self) -> None:
        """Load the networks; apart from the constructor, whose errors Ray would take for a death."""
        torch.set_num_threads(self.cores)
        self.maker = ShardMaker(self.job)

    def make(self, number: int) -> Made | str:
        """Make a shard, unless it is there, or another process is at it."""
        node = _ray().get_runtime_context().get_node_id()[:8]
        start, out = time.monotonic(), self.maker.out(number)  # type: ignore[union-attr]
        if out.exists():
            return THERE
        try:
            self.maker.make(number)  # type: ignore[union-attr]
        except BusyError:
            time.sleep(BUSY_S)
            return BUSY
        return Made(number, node, time.monotonic() - start, *count_found(out))


def catalogue(
    manifest: Path,
    out: Path,
    device: Device,
    pictures: PictureOptions,
    networks: Weights,
    detection: DetectionOptions,
    address: str = "",
    predictors: int = 0,
    cores: int = 2,
    shard_size: int = 10_000,
    schema: str = "fashionai",
    columns: str = "",
) -> bool:
    """Find the garments of a catalogue of photos on a cluster of Ray; the same command goes on where it was.

    The exit status is 1 when no photo could be read.

    Args:
        manifest: Parquet or CSV with the columns id and uri, and perhaps category, whose garments alone are kept then
        out: folder of the results, one Parquet file a shard, on a disk that all machines see; those of `predict --manifest`
        device: where the networks run; one device a predictor
        pictures: what a picture may cost
        networks: which networks predict
        detection: what counts as a garment, and how carefully its points are placed
        address: a cluster that is there, as Ray names it (auto, HOST:PORT); without it one is started on this machine
        predictors: so many at once; 0: one a GPU, or without any one for every --cores cores
        cores: cores of a predictor
        shard_size: photos a shard
        schema: packaged schema, or a YAML file of your own
        columns: more columns, as those of `predict`; their module must be installed on every machine
    """
    if predictors < 0 or cores < 1:
        raise UserError(f"--predictors is {predictors}, --cores {cores}; expected 0 or more, and 1 or more")
    if shard_size < 1:
        raise UserError(f"--shard_size is {shard_size}; expected 1 or more")
    found, place = open_manifest(manifest.absolute()), out.absolute()
    found.refuse_repeated_ids()
    networks = _absolute(networks)
    job = CatalogueJob(found.file, place, "1/1", shard_size, device, pictures, networks, detection, schema, columns)
    place.mkdir(parents=True, exist_ok=True)
    ray = _connected(address)
    try:
        report, seconds = _made(ray, job, len(found), predictors, cores)
    finally:
        ray.shutdown()
    _write(place, report, seconds, len(found))
    return any_read_of(place, job.own(len(found)))


def _made(ray: Any, job: CatalogueJob, photos: int, predictors: int, cores: int) -> tuple[Report, float]:
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    count = predictors or gpus or max(1, int(resources.get("CPU", 1)) // cores)
    actor = ray.remote(CatalogueActor).options(num_cpus=cores, num_gpus=1 if gpus else 0, max_restarts=0)

    def done() -> int:
        whole = len(list(job.out.glob("part-*.parquet")))
        parts = sum(photos_done(folder) for folder in job.out.glob("part-*.parts"))
        return min(photos, whole * job.shard_size + parts)

    drive = Drive(ray, lambda: actor.remote(job, cores), count, lambda number: state_of(job.out, [number]), done)
    start = time.monotonic()
    return drive.run(job.own(photos), photos), time.monotonic() - start


def _connected(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers of each run
    ray = _ray()
    try:
        ray.init(address=address or None, include_dashboard=None if address else False, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        raise UserError(f"--address is {address!r}: no cluster of Ray answers there ({error})") from None
    return ray


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise UserError("a cluster needs Ray: pip install 'garment-keypoints[ray]'") from None


def _absolute(networks: Weights) -> Weights:
    """Return absolute paths, since actors stand in folders of their own; the name of a packaged pair stays a name."""
    pair = Path(networks.weights)
    files = {stage: getattr(networks, stage) for stage in ("detector", "keypoints")}
    own = {stage: file.absolute() for stage, file in files.items() if file is not None}
    return replace(networks, weights=str(pair.absolute()) if pair.is_dir() else networks.weights, **own)


def _write(out: Path, report: Report, seconds: float, photos: int) -> None:
    """Add this run to the record, and print what each node has made."""
    record = out / RECORD
    runs = read_json(record)["runs"] if holds(record, "runs") else []
    runs.append(
        {
            "provenance": provenance(),
            "seconds": round(seconds, 1),
            "events": report.events,
            "shards": [asdict(one) for one in report.made],
        }
    )
    write_json(record, {"runs": runs})
    print(_table(report.made, seconds))
    print(f"{out}: {photos} photos, {len(report.made)} shards made in {seconds:.1f} s, {len(report.events)} deaths")


def _table(made: Sequence[Made], seconds: float) -> str:
    rows = []
    for node in sorted({one.node for one in made}):
        own = [one for one in made if one.node == node]
        sums = [sum(getattr(one, name) for one in own) for name in ("photos", "garments", "errors")]
        rows.append([node, len(own), *sums, f"{sums[0] / max(seconds, 1e-3):.1f}"])
    return as_table(["node", "shards", "photos", "garments", "errors", "photos a second"], rows)
