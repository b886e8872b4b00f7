"""Train stage 1: what is there already is kept, what was interrupted goes on."""

from collections.abc import Sequence
from pathlib import Path

from garment_keypoints.pipeline import train
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import alone
from garment_keypoints.pipeline.contract.schema import Schema, load_schema
from garment_keypoints.pipeline.data.select import RowSet, load_boxed, load_training_set
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.learning.start import refuse_seen
from garment_keypoints.pipeline.runs.claims import claim
from garment_keypoints.pipeline.runs.steps import BOXED, REMEDY, beside_data, inputs_of, kept, recorded
from garment_keypoints.pipeline.settings import Settings, as_now, claimed

FINAL = "final"


def train_detector(
    settings: Settings,
    data: Sequence[Path],
    run: Path,
    limit: int = 0,
    only: str = "",
    boxed: Sequence[Path] = (),
    photos: Sequence[Path] = (),
    start: str = "",
) -> None:
    """Train stage 1: one detector a fold, and the final one on everything; those that are there already are kept.

    Args:
        settings: both stages, folds, schema
        data: train roots: folders with Annotations/*.csv and Images/
        run: run folder; holds everything that is trained
        limit: rehearse on so many images (0: all)
        only: train just this one, such as fold0 or final
        boxed: garments without points that every detector learns from too: a CSV of image_id,category,x0,y0,x1,y1, or several;
            a photo without any garment has all cells empty but the first
        photos: folder of the photos of --boxed, one for each
        start: a trained detector that each of them starts from, such as one of other photos: a checkpoint, or the name or the
            folder of a pair; it must have seen none of these images where one of a fold is trained
    """
    names = [*(f"fold{k}" for k in range(settings.folds)), FINAL]
    if only and only not in names:
        raise UserError(f"--only is {only!r}; expected one of {', '.join(names)}")
    schema = load_schema(settings.schema)
    train.check_detector(schema, settings.detector)
    training_set = load_training_set(data, schema, settings.folds, run, limit, settings.layout, settings.pictures)
    folder = run / "detector"
    inputs, further = inputs_of(training_set), _further(boxed, photos, schema, limit, settings)
    if further is not None:
        inputs[BOXED] = further.fingerprint
    begun = train.begun(start, "detector", inputs)
    chosen = [only] if only else names
    if begun is not None:
        folds = zip(training_set.rows, training_set.folds, strict=True)
        left_out = {row.image_id for row, fold in folds if f"fold{fold}" in chosen}
        refuse_seen(begun, left_out, "the folds, each of which a detector leaves out")
    claim(folder, claimed(settings, training_set, schema, "detector") | beside_data(inputs), as_now("detector"))
    for name in chosen:
        out = folder / f"{name}.safetensors"
        fold = None if name == FINAL else int(name.removeprefix("fold"))
        rows = [row for row, f in zip(training_set.rows, training_set.folds, strict=True) if f != fold]
        with alone(out, REMEDY, enabled=ranks.is_zero()):
            if kept(out):
                continue
            with recorded(out, settings, data, inputs, train.interrupted(out)):
                train.train_detector(
                    rows,
                    schema,
                    settings.detector,
                    out,
                    fold,
                    settings.pictures,
                    further.rows if further else (),
                    begun,
                )


def _further(
    boxed: Sequence[Path], photos: Sequence[Path], schema: Schema, limit: int, settings: Settings
) -> RowSet | None:
    """Return the garments without points, and the photos without garments, that a detector learns from beside the rows."""
    if len(boxed) != len(photos):
        raise UserError("--boxed and --photos belong together: CSVs of boxes, and for each the folder of its photos")
    pairs = zip(boxed, photos, strict=True)
    sets = [load_boxed(file, folder, schema, limit, settings.pictures, without=True) for file, folder in pairs]
    return RowSet.joined(sets) if sets else None
