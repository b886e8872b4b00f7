"""The submission by hand: points are clipped to their own picture, width by width and height by height."""

from pathlib import Path

import numpy as np
from garment_keypoints.pipeline.contract.formats.submission import read_submission, write_submission
from garment_keypoints.pipeline.contract.records import ImageRow
from garment_keypoints.pipeline.contract.schema import Schema


def test_points_are_clipped_to_the_width_and_height_of_their_picture(tmp_path: Path, schema: Schema) -> None:
    rows = [ImageRow("wide.jpg", "skirt", tmp_path), ImageRow("tall.jpg", "skirt", tmp_path)]
    write_submission(tmp_path / "s.csv", rows, np.full((2, 24, 2), 170.6), np.array([[200, 100], [90, 300]]), schema)
    read = read_submission(tmp_path / "s.csv", schema)
    hemline = schema.keypoints.index("hemline_left")
    assert read["wide.jpg", 0].xy[hemline].tolist() == [171, 100]
    assert read["tall.jpg", 0].xy[hemline].tolist() == [90, 171]
