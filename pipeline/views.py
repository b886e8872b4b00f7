"""What people look at before anything is trained: the networks of a config, and what the loaders yield.

Beside `load` and `train`, it builds networks of both stages.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from garment_keypoints.detector.config import DetectorConfig
from garment_keypoints.detector.data import DetectorData, training_inputs
from garment_keypoints.detector.export import export_detector
from garment_keypoints.detector.inference import load_detector
from garment_keypoints.detector.networks.build import GarmentNetwork
from garment_keypoints.keypoints.config import KeypointsConfig
from garment_keypoints.keypoints.data import KeypointsData
from garment_keypoints.keypoints.export import export_keypoints
from garment_keypoints.keypoints.inference import load_locator, load_network
from garment_keypoints.keypoints.networks.build import build_network
from garment_keypoints.keypoints.unfinished import unfinished_network
from garment_keypoints.pipeline.contract import crops, geometry
from garment_keypoints.pipeline.contract.box_kinds import IMAGE, boxes_of_kind, true_boxes
from garment_keypoints.pipeline.contract.boxes import BoxTable
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.records import Annotation, ImageBatch
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.survey import image_sizes
from garment_keypoints.pipeline.learning.loading import ImageDataset, StepBatchSampler, collate
from garment_keypoints.pipeline.learning.pairs import Pair
from garment_keypoints.pipeline.learning.weights import HEADER, read_checkpoint
from garment_keypoints.pipeline.reporting.look import boxes_sheet, crops_sheet, inputs_sheet, points_sheet
from garment_keypoints.pipeline.reporting.model_card import model_card, network_costs
from garment_keypoints.pipeline.reporting.pictures import as_picture, overlay_heatmaps
from garment_keypoints.pipeline.reporting.weights_card import NetworkFile, weights_card
from garment_keypoints.pipeline.settings import Settings
from garment_keypoints.pipeline.train import built
from PIL import Image
from torch import Tensor

Config = TypeVar("Config", DetectorConfig, KeypointsConfig)


def describe_detector(schema: Schema, config: DetectorConfig) -> str:
    """Describe the network of a config as Markdown; its weights are not needed."""
    parts, categories = config.network, len(schema.categories)
    network = built(lambda: GarmentNetwork(_random(config), categories), "detector.network", parts)
    name = f"{parts.type} with {parts.fpn_channels} channels, {_backbone(parts)}"
    return model_card("Detector", name, network, parts.size, GarmentNetwork.detections, GarmentNetwork.finest)


def describe_keypoints(schema: Schema, config: KeypointsConfig) -> str:
    """Describe the network of a config as Markdown; its weights are not needed."""
    parts = config.network
    network, _ = built(lambda: build_network(_random(config), schema), "keypoints.network", parts)
    name = f"head {parts.head} with {parts.channels} channels, codec {config.codec.name}, loss {config.loss.name}"
    return model_card("Keypoints", f"{name}, {_backbone(parts)}", network, config.crop.size)


def describe_weights(pair: Pair, schema: Schema, manifest: dict[str, Any], record: dict[str, Any]) -> str:
    """Write the card of a pair of weights; `record` is that of a scored submission by it."""
    finder, locator = load_detector(pair.detector, schema), load_locator(pair.keypoints, schema)
    costs = {
        "detector": (
            finder.network.size,
            network_costs(finder.network, finder.network.size, GarmentNetwork.detections),
        ),
        "keypoints": (locator.size_wh[0], network_costs(locator.network, locator.size_wh[0])),
    }
    networks = {}
    for stage, (size, cost) in costs.items():
        file = getattr(pair, stage)
        header = {key: value for key, value in read_checkpoint(file).items() if key != "state_dict"}
        networks[stage] = NetworkFile(file, manifest["sha256"][file.name], header, size, cost)
    return weights_card(pair.name, manifest, networks, record)


def export_graphs(pair: Pair, schema: Schema, files: dict[str, Path], made: dict[str, Any]) -> None:
    """Write both networks of a pair as ONNX graphs, each with the header of its checkpoint."""
    detector, (network, _, config) = load_detector(pair.detector, schema), load_network(pair.keypoints, schema)
    headers = {}
    for stage in files:
        content = read_checkpoint(getattr(pair, stage))
        if "graph" in content:
            raise UserError(f"{getattr(pair, stage)}: a graph already; export the checkpoint that it was made from")
        header = {key: content[key] for key in HEADER}
        headers[stage] = header | {"provenance": header["provenance"] | {"graph": made}}
    export_detector(detector.network, headers["detector"], files["detector"])
    export_keypoints(network, config.crop.size, headers["keypoints"], files["keypoints"])


def _backbone(parts: Any) -> str:
    frozen = f", trained behind stride {parts.frozen_stride}" if parts.frozen_stride else ""
    return f"backbone {parts.backbone}, initialised from {parts.backbone_weights}{frozen}"


def _random(config: Config) -> Config:
    """Return a stage's config with a backbone of random weights, where only the shapes count."""
    return replace(config, network=replace(config.network, backbone_weights="none"))


def look_at_detector(rows: Sequence[Annotation], schema: Schema, settings: Settings, count: int) -> Image.Image:
    """Draw the first batches of the detector's training as it sees them."""
    config = settings.detector
    data = DetectorData(rows, schema, config, settings.pictures)
    batch = _first_draws(data.train_dataset(), config.train.seed, count)
    extents, category = data.garments(batch.index)
    inputs, boxes = training_inputs(batch, extents, category, config)
    return inputs_sheet(inputs, boxes, category, schema)


def look_at_boxes(
    rows: Sequence[Annotation], boxes: BoxTable, margin: float, schema: Schema, settings: Settings
) -> Image.Image:
    """Draw boxes out of fold, from worst to best, beside the true ones with the detector's `margin`."""
    truth = true_boxes(rows, torch.tensor(image_sizes(rows, settings.pictures)), margin)
    return boxes_sheet(rows, truth, boxes, settings.keypoints.crop.padding, schema)


def look_at_keypoints(
    rows: Sequence[Annotation], boxes: BoxTable, margin: float, schema: Schema, settings: Settings, count: int
) -> Image.Image:
    """Draw the first crops of the keypoint network's training, with points, weights and targets."""
    config, sizes_wh = settings.keypoints, image_sizes(rows, settings.pictures)
    training = boxes_of_kind(config.crop.learned, boxes.boxes, rows, sizes_wh, margin)
    data = KeypointsData(rows, boxes, schema, config, settings.pictures, training)
    batch = _first_draws(data.train_dataset(), config.train.seed, count)
    sample = data.training_crops(batch)
    _, codec = build_network(_random(config), schema)
    captions = [data.rows[i].category for i in batch.index.tolist()]
    return crops_sheet(
        sample.crops, sample.xy, sample.target_weight, codec.encode(sample.targeted).get("maps"), captions, schema
    )


def look_at_network(
    rows: Sequence[Annotation],
    boxes: BoxTable,
    schema: Schema,
    run: Path,
    name: str,
    count: int,
    pictures: PictureOptions,
) -> Image.Image:
    """Draw what the keypoint network RUN/keypoints/NAME, finished or not, says of the rows that its training watched."""
    out = run / "keypoints" / f"{name}.safetensors"
    network, codec, config = (
        load_network(out, schema) if out.exists() else unfinished_network(out.with_suffix(""), schema)
    )
    data = KeypointsData(rows, _as_shown(rows, boxes, config, pictures), schema, config, pictures)
    # Evenly, since the rows of a category stand together; of the fold left out, where there is one.
    first = data.num_train if config.without_fold >= 0 else 0
    watched = np.linspace(first, len(data.rows) - 1, count).round().astype(int).tolist()
    of_watched = [data.rows[i] for i in watched]
    cropped, category, affine = _crops(of_watched, data.boxes[watched], schema, config, pictures)
    with torch.no_grad():
        outputs = network(cropped, category)[-1]
    maps = codec.heights(outputs) if "maps" in outputs else None
    truth, seen = geometry.apply(affine, data.xy[watched]), data.weight[watched] > 0
    captions = [data.rows[i].category for i in watched]
    return points_sheet(cropped, truth, seen, codec.decode(outputs).xy, maps, captions, schema)


def _as_shown(
    rows: Sequence[Annotation], boxes: BoxTable, config: KeypointsConfig, pictures: PictureOptions
) -> BoxTable:
    """Return these boxes, or the whole images where the network of these settings is shown nothing else."""
    if config.crop.source != IMAGE:
        return boxes
    return boxes.moved(crops.whole_images(torch.tensor(image_sizes(rows, pictures))).numpy())


def _crops(
    rows: Sequence[Annotation], boxes: Tensor, schema: Schema, config: KeypointsConfig, pictures: PictureOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the crops of rows in boxes (N, 4) as when predicting, their categories, and their affines."""
    dataset = ImageDataset(rows, [schema.category_index(row.category) for row in rows], options=pictures)
    batch = collate([dataset[i] for i in range(len(dataset))])
    size_wh = (config.crop.size, config.crop.size)
    cropped, affine = crops.cut_boxes(batch, boxes, size_wh, config.crop.padding)
    return cropped, batch.category, affine


def heatmaps(
    rows: Sequence[Annotation], boxes: BoxTable, schema: Schema, checkpoint: Path, pictures: PictureOptions
) -> list[Image.Image]:
    """Draw the maps of a trained keypoint network over the crop of each row; the crop alone where its head gives no maps."""
    network, codec, config = load_network(checkpoint, schema)
    shown = torch.tensor(_as_shown(rows, boxes, config, pictures).boxes, dtype=torch.float32)
    drawn = []
    for i, row in enumerate(rows):
        cropped, category, _ = _crops([row], shown[i : i + 1], schema, config, pictures)
        with torch.no_grad():
            outputs = network(cropped, category)[-1]
        own = schema.mask[schema.category_index(row.category)][:, None, None]
        picture = as_picture(cropped[0])
        drawn.append(
            overlay_heatmaps(picture, codec.heights(outputs)[0] * own, schema) if "maps" in outputs else picture
        )
    return drawn


def _first_draws(dataset: ImageDataset, seed: int, count: int) -> ImageBatch:
    """Load what the first training step of this seed would load."""
    draws = next(iter(StepBatchSampler(len(dataset), count, 1, seed)))
    return collate([dataset[draw] for draw in draws])
