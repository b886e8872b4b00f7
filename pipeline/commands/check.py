"""Check a dataset: every fault of it, at once."""

from collections.abc import Sequence
from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError, describe
from garment_keypoints.pipeline.contract.images import PictureOptions
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.data.check import check_dataset


def check(
    pictures: PictureOptions,
    data: Sequence[Path] = (),
    test: Path | None = None,
    answers: Path | None = None,
    schema: str = "fashionai",
    layout: str = "fashionai",
) -> bool:
    """Describe a dataset and report all its faults at once; exit with 1 when there are any.

    Args:
        pictures: what a picture may cost
        data: train roots: folders with Annotations/*.csv and Images/
        test: folder with test.csv and Images/
        answers: answer CSV of the test folder
        schema: packaged schema, or a YAML file of your own
        layout: how the data lie on disk: fashionai, coco, deepfashion2, or MODULE:OBJECT
    """
    if not data and test is None and answers is None:
        raise UserError("nothing to check; name --data, --test or --answers")
    lines, faults = check_dataset(data, test, answers, load_schema(schema), layout, pictures)
    print("\n".join(lines))
    if faults:
        print(describe(faults))
        return False
    print("no faults")
    return True
