"""Make a pair of weights to be shared."""

from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import refuse_foreign
from garment_keypoints.pipeline.learning.manifests import (
    FILES,
    MANIFEST,
    MOST_REFINEMENTS,
    is_manifest,
    published_refine,
)
from garment_keypoints.pipeline.learning.pairs import (
    AS_PUBLISHED,
    CALIBRATION,
    publish_pair,
)
from garment_keypoints.pipeline.runs.outputs import alone_at_out
from garment_keypoints.pipeline.runs.provenance import provenance
from safetensors import SafetensorError, safe_open


@alone_at_out
def publish(
    detector: Path,
    keypoints: Path,
    out: Path,
    terms: str,
    calibration: Path | None = None,
    float16: bool = True,
    refine: int = AS_PUBLISHED,
) -> None:
    """Make a pair of weights to be shared: both networks in the present format and in float16, and their hashes.

    Args:
        detector: detector checkpoint
        keypoints: keypoint checkpoint
        out: folder of the pair, named like it
        terms: what others may do with the weights, and what they were made from, in one sentence
        calibration: what the scores of the keypoint network mean: a file that `calibrate` wrote for one of the same recipe
        float16: weights in float16, half the size
        refine: where nobody says otherwise, so many times a garment is cropped again around its points, and the points of all
            crops are averaged (-1: never, unless the pair that is there was published with more, which is asked)
    """
    if not AS_PUBLISHED <= refine <= MOST_REFINEMENTS:
        raise UserError(f"--refine is {refine}; expected 0 to {MOST_REFINEMENTS}")
    files = [out / name for name in FILES.values()]
    for file in files:
        refuse_foreign(file, _is_weights, "a file of weights", "choose another --out")
    refuse_foreign(out / MANIFEST, is_manifest, "a list that this command wrote", "choose another --out")
    if calibration is None and (out / CALIBRATION).exists():
        raise UserError(
            f"{out / CALIBRATION} is of the pair that is there; name it --calibration if it fits these networks too, or remove it"
        )
    if refine == AS_PUBLISHED and (out / MANIFEST).exists() and (before := published_refine(out / MANIFEST)):
        raise UserError(
            f"{out / MANIFEST}: the pair that is there was published with --refine {before}; name --refine {before} if these "
            "networks are to predict like that as well, or --refine 0"
        )
    about = {"terms": terms, "refine": max(0, refine), "provenance": provenance()}
    publish_pair({"detector": detector, "keypoints": keypoints}, out, about, float16, calibration)
    for file in files:
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def _is_weights(file: Path) -> bool:
    try:
        with safe_open(file, "pt") as opened:
            return {"format", "stage", "schema"} <= (opened.metadata() or {}).keys()
    except SafetensorError:
        return False
