"""Make a pair of weights to be shared."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from pipeline.contract.faults import UserError
from pipeline.contract.files import refuse_foreign
from pipeline.learning.pairs import (
    CALIBRATION,
    FILES,
    MANIFEST,
    MOST_PASSES,
    is_manifest,
    passes_of,
    publish_pair,
)
from pipeline.runs.provenance import provenance


def publish(
    detector: Path,
    keypoints: Path,
    out: Path,
    terms: str,
    calibration: Path | None = None,
    float16: bool = True,
    passes: int = 0,
) -> None:
    """Make a pair of weights to be shared: both networks in the present format and in float16, and their hashes.

    Args:
        detector: detector checkpoint
        keypoints: keypoint checkpoint
        out: folder of the pair, named like it
        terms: what others may do with the weights, and what they were made from, in one sentence
        calibration: what the scores of the keypoint network mean: a file that `calibrate` wrote for one of the same recipe
        float16: weights in float16, half the size
        passes: in so many the points are placed where nobody says otherwise; 2 crops again around the points of a first pass
            and averages both (0: one, unless the pair that is there has more, which is asked)
    """
    if not 0 <= passes <= MOST_PASSES:
        raise UserError(f"--passes is {passes}; expected 0 to {MOST_PASSES}")
    files = [out / name for name in FILES.values()]
    for file in files:
        refuse_foreign(file, _is_weights, "a file of weights", "choose another --out")
    refuse_foreign(out / MANIFEST, is_manifest, "a list that this command wrote", "choose another --out")
    if calibration is None and (out / CALIBRATION).exists():
        raise UserError(
            f"{out / CALIBRATION} is of the pair that is there; name it --calibration if it fits these networks too, or remove it"
        )
    if not passes and (out / MANIFEST).exists() and (before := passes_of(out / MANIFEST)) > 1:
        raise UserError(
            f"{out / MANIFEST}: the pair that is there places points in {before} passes; name --passes {before} if these "
            "networks are to as well, or --passes 1"
        )
    about = {"terms": terms, "passes": passes or 1, "provenance": provenance()}
    publish_pair({"detector": detector, "keypoints": keypoints}, out, about, float16, calibration)
    for file in files:
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def _is_weights(file: Path) -> bool:
    try:
        with safe_open(file, "pt") as opened:
            return {"format", "stage", "schema"} <= (opened.metadata() or {}).keys()
    except SafetensorError:
        return False
