"""What a matrix's runs got wrong, image by image, in a file that outlives the run folder and travels between machines."""

import io
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import write_bytes

SUFFIX = "_matrix.npz"
SCENES = "scenes"
Sums = dict[tuple[str, str, str], np.ndarray]
"""By scene, what is shown, and run: sums of errors (N,) over the points of each image, fractions of the normaliser."""


def write_errors(file: Path, scenes: Mapping[str, str], sums: Sums) -> None:
    """Write sums; `scenes` are the fingerprints of their images by name, and of the boxes shown by NAME/WHAT."""
    content = io.BytesIO()
    arrays = {"/".join(key): values.astype(np.float32) for key, values in sums.items()}
    np.savez_compressed(content, **{SCENES: np.array(json.dumps(dict(scenes)))}, **arrays)
    write_bytes(file, content.getvalue())


def errors_beside(known: Sequence[Path], scenes: Mapping[str, str], show: Collection[str] = ()) -> Sums:
    """Read the sums beside such files of known runs (NAME_matrix.npz beside NAME.json); of two the first counts.

    `show` are the boxes that networks are shown now; without it all. What is known of others is left out where they differ.

    Raises UserError where there are none, or of other images or shown boxes than those of `scenes`.
    """
    sums: Sums = {}
    for one in known:
        file = one.with_name(one.stem + SUFFIX)
        made, arrays = _read(file)
        other = [name for name, fingerprint in scenes.items() if made.get(name, fingerprint) != fingerprint]
        for name in other:
            _, of_boxes, column = name.partition("/")
            if not of_boxes or not show or column in show:
                what = "boxes" if of_boxes else "images"
                raise UserError(f"{file} is of other {what} than those that the networks are shown now ({name})")
        for name, values in arrays.items():
            scene, column, run = name.split("/")
            if f"{scene}/{column}" not in other:
                sums.setdefault((scene, column, run), values.astype(float))
    return sums


def _read(file: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        scenes = json.loads(str(arrays.pop(SCENES)))
        good = isinstance(scenes, dict) and all(name.count("/") == 2 and one.ndim == 1 for name, one in arrays.items())
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        good = False
    if not good:
        raise UserError(f"{file}: expected the errors of a matrix's runs, as match-matrix writes them beside NAME.json")
    return scenes, arrays
