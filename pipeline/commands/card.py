"""Write the card of a pair of weights."""

from pathlib import Path

from garment_keypoints.pipeline import views
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import file_hash, refuse_foreign, write_text
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.learning.pairs import (
    FILES,
    MANIFEST,
    find_pair,
)
from garment_keypoints.pipeline.reporting.weights_card import HEAD as CARD_HEAD
from garment_keypoints.pipeline.runs.json_files import read_json


def card(weights: str, record: Path, schema: str = "fashionai") -> None:
    """Write the card of a pair of weights, README.md in its folder, with the figures of a scored submission by it.

    Args:
        weights: the name of a packaged pair, or a folder that `publish` wrote
        record: record of the submission, the .json beside the CSV that `submit` wrote with --answers
        schema: packaged schema, or a YAML file of your own
    """
    pair, loaded, scored = find_pair(weights), load_schema(schema), read_json(record)
    if not {"job", "figures", "provenance", "test"} <= scored.keys() or "ne" not in scored["figures"]:
        raise UserError(f"{record}: not the record of a scored submission; name the .json of a `submit` with --answers")
    # Older records name the networks in the job.
    networks = scored.get("networks", scored["job"])
    for stage in FILES:
        known = {file_hash(getattr(one, stage)) for one in (pair, find_pair(weights, "onnx"))}
        if networks.get(stage) not in known:
            raise UserError(
                f"{record}: of another {stage} network than that of {weights}; submit with --weights {weights}"
            )
    out = pair.detector.parent / "README.md"
    refuse_foreign(out, _is_card, "a card that this command wrote", "choose another folder for the pair")
    write_text(out, views.describe_weights(pair, loaded, read_json(out.with_name(MANIFEST)), scored))
    print(out)


def _is_card(file: Path) -> bool:
    return file.read_bytes().startswith(CARD_HEAD.encode())
