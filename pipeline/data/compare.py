"""What parts of a dataset say of one another: rows and answers, and pictures of the test and of the training."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from garment_keypoints.pipeline.contract.faults import Fault
from garment_keypoints.pipeline.contract.formats.fashionai import CATEGORY, ID
from garment_keypoints.pipeline.contract.records import Annotation, ImageRow, Key


def lacking(rows: Sequence[ImageRow], answered: Collection[Key], file: Path) -> list[Fault]:
    """Return a fault for each test row without an answer in `file`; `answered` are the keys that have one."""
    remedy = "add its row to the answers, or drop it from the test"
    return [_fault(row, f"no answer (in {file})", remedy) for row in rows if row.key not in answered]


def foreign(answers: Sequence[Annotation], tested: Collection[Key], file: Path) -> list[Fault]:
    """Return a fault for each answer of an image, or a garment of it, that is not among the keys `tested` of `file`."""
    problem = f"answer of an image that is not in the test (in {file})"
    remedy = "drop the answer, or add the image to the test"
    return [_fault(answer, problem, remedy) for answer in answers if answer.key not in tested]


def other_categories(rows: Sequence[ImageRow], answers: Mapping[Key, Annotation]) -> list[Fault]:
    """Return a fault for each row whose answer is of another category."""
    found = [
        other_category(answers[row.key], row.category, row.csv or row.image_id, row.csv_row)
        for row in rows
        if row.key in answers
    ]
    return [fault for fault in found if fault is not None]


def other_category(answer: Annotation, category: str, file: str, row: int | None) -> Fault | None:
    """Return a fault when `category`, which `file` gives in `row`, is not that of the answer."""
    if answer.category == category:
        return None
    where = f"{answer.csv}, row {answer.csv_row} has {answer.category}"
    remedy = "correct one of them; points are scored by category"
    return Fault(file, f"another category than the answer's ({where})", remedy, row, CATEGORY, category)


def without_points(answers: Sequence[Annotation]) -> list[Fault]:
    """Return a fault for each answer that has no point: nothing of its image can be scored."""
    remedy = "annotate the picture, or drop it from the test and the answers"
    return [_fault(answer, "answer without points", remedy) for answer in answers if not answer.present.any()]


def seen_in_training(
    rows: Sequence[ImageRow], digests: Sequence[str], trained: Sequence[ImageRow], trained_digests: Sequence[str]
) -> list[Fault]:
    """Return a fault for each test picture that is, byte for byte, a training picture too. An empty digest matches none."""
    by_digest = dict(zip(trained_digests, trained, strict=True))
    remedy = "drop it from one of them, or the score is that of a picture learned by heart"
    return [
        _fault(row, f"test picture that is a training picture too ({by_digest[digest].path})", remedy)
        for row, digest in zip(rows, digests, strict=True)
        if digest and digest in by_digest
    ]


def _fault(row: ImageRow, problem: str, remedy: str) -> Fault:
    return Fault(row.csv or row.image_id, problem, remedy, row.csv_row, ID, row.named)


def copies(rows: Sequence[ImageRow], digests: Sequence[str]) -> int:
    """Count the rows whose picture stands, byte for byte, in an earlier row under another id."""
    ids: dict[str, set[str]] = defaultdict(set)
    for row, digest in zip(rows, digests, strict=True):
        if digest:
            ids[digest].add(row.image_id)
    return sum(len(one) - 1 for one in ids.values())


def linked(rows: Sequence[ImageRow]) -> int:
    """Count the pictures that lie outside the folder of their dataset, through a link in it."""
    return sum(_is_linked(row.path, Path(row.image_id)) for row in rows)


def _is_linked(path: Path, image_id: Path) -> bool:
    """Tell whether `path`, which ends with the id where ids are paths, really lies in the folder that the id starts from."""
    depth = len(image_id.parts)
    if path.parts[-depth:] != image_id.parts:
        return False
    return not path.resolve().is_relative_to(path.parents[depth - 1].resolve())
