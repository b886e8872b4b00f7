"""The verb that writes networks as ONNX graphs, in float32 and in eight bits."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from garment_keypoints.pipeline import api, views
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import refuse_foreign, write_bytes
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.photos import find_photos
from garment_keypoints.pipeline.learning.eight_bit import MOST_INPUTS, quantise
from garment_keypoints.pipeline.learning.graphs import Graph, inputs_seen, is_graph
from garment_keypoints.pipeline.learning.pairs import DEFAULT, GRAPHS, Pair, add_graphs
from garment_keypoints.pipeline.runs.outputs import alone_at_out
from garment_keypoints.pipeline.runs.provenance import provenance

One = TypeVar("One")


@alone_at_out
def export(
    out: Path,
    weights: str = DEFAULT,
    detector: Path | None = None,
    keypoints: Path | None = None,
    int8: Sequence[str] = (),
    schema: str = "fashionai",
) -> None:
    """Write both networks as ONNX graphs, which predict faster on a CPU; into the folder of a pair, as part of it.

    Args:
        out: folder of detector.onnx and keypoints.onnx
        weights: pair of networks: the name of a packaged one, or a folder that `publish` wrote
        detector: detector checkpoint, for the one of the pair
        keypoints: keypoint checkpoint, for the one of the pair
        int8: photos like those to be predicted (files, folders, patterns; some 64 are enough): with them a graph in eight bits
            is written as well, keypoints.int8.onnx, scaled to the values that these photos make
        schema: packaged schema, or a YAML file of your own
    """
    pair, loaded = Pair.of(weights, detector, keypoints), load_schema(schema)
    names = (
        list((GRAPHS["onnx"] | {"int8": GRAPHS["int8"]["keypoints"]}).values())
        if int8
        else list(GRAPHS["onnx"].values())
    )
    for name in names:
        refuse_foreign(out / name, is_graph, "a graph that this command wrote", "choose another --out")
    photos = _some_photos(int8) if int8 else []
    with tempfile.TemporaryDirectory() as folder:  # in `out` they come together, when nothing can go wrong any more
        _write(Path(folder), pair, loaded, photos, schema)
        for name in names:
            write_bytes(out / name, (Path(folder) / name).read_bytes())
    if pair.name and out.resolve() == pair.detector.parent.resolve():
        add_graphs(out, names)
    for name in names:
        print(f"{out / name}: {(out / name).stat().st_size / 1e6:.1f} MB")


def _write(folder: Path, pair: Pair, loaded: Schema, photos: Sequence[Path], schema: str) -> None:
    made, graphs = provenance(), {stage: folder / name for stage, name in GRAPHS["onnx"].items()}
    views.export_graphs(pair, loaded, graphs, made)
    if photos:
        crops = _inputs(graphs, photos, schema)["keypoints"]
        out = folder / GRAPHS["int8"]["keypoints"]
        quantise(graphs["keypoints"], crops, out, made | {"photos": len(photos)})


def _some_photos(named: Sequence[str]) -> list[Path]:
    """Return at most so many photos as are needed, from all over those that are named."""
    found = [photo.path for photo in find_photos(named) if photo.path is not None]
    if not found:
        raise UserError(f"--int8 {' '.join(named)}: no photos; expected some like those to be predicted")
    return _evenly(found)


def _inputs(graphs: dict[str, Path], photos: Sequence[Path], schema: str) -> dict[str, np.ndarray]:
    """Return what each stage's graph is shown when these photos are predicted, arrays (N, 3, h, w)."""
    predictor = api.load(device="cpu", flip_test=False, refine=0, schema=schema, **graphs)
    networks = [module for module in predictor.stages.modules() if isinstance(module, Graph)]
    with inputs_seen(networks) as seen:
        unread = [result.error for result in predictor(photos) if result.error]
    inputs = {graph.header["stage"]: [*np.concatenate(own)] for graph, own in zip(networks, seen, strict=True) if own}
    if len(inputs) < len(networks) or not all(inputs.values()):
        raise UserError(
            f"--int8: no garment was found in {len(photos)} photos, {len(unread)} of which could not be read {unread[:1]}; "
            "expected photos of clothes, like those to be predicted"
        )
    return {stage: np.stack(_evenly(one)) for stage, one in inputs.items()}


def _evenly(many: list[One]) -> list[One]:
    """Return as many as are needed, from all over them."""
    return [many[i] for i in sorted({*np.linspace(0, len(many) - 1, MOST_INPUTS).round().astype(int).tolist()})]
