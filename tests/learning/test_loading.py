"""Batches follow from seed and step alone, whatever was interrupted and however many processes share them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.pipeline.contract.faults import DataError
from garment_keypoints.pipeline.contract.formats.fashionai import read_annotations
from garment_keypoints.pipeline.contract.images import FORMATS
from garment_keypoints.pipeline.contract.records import ImageRow
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.loading import (
    ImageDataset,
    PixelBatchSampler,
    StepBatchSampler,
    collate,
    loader,
    plain_loader,
)
from garment_keypoints.pipeline.learning.photometric import Photometric
from PIL import Image


def test_a_resumed_sampler_goes_on_where_it_was() -> None:
    whole = list(StepBatchSampler(13, 4, 20, seed=3))
    assert list(StepBatchSampler(13, 4, 20, seed=3, start_step=7)) == whole[7:]
    assert len(StepBatchSampler(13, 4, 20, seed=3, start_step=7)) == 20


def test_each_pass_takes_every_row_once_in_its_own_order() -> None:
    draws = [draw for batch in StepBatchSampler(12, 4, 6, seed=0) for draw in batch]
    first, second = [i for i, _ in draws[:12]], [i for i, _ in draws[12:]]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert len({seed for _, seed in draws}) == 24


def test_batches_of_one_group() -> None:
    """Each pass takes every row once; only the rows left over when groups are cut into batches are mixed."""
    groups = np.array([0] * 13 + [1] * 9 + [2])
    batches = list(StepBatchSampler(23, 4, 23, seed=3, groups=groups))
    drawn = [index for batch in batches for index, _ in batch]
    for turn in range(4):
        assert sorted(drawn[23 * turn : 23 * (turn + 1)]) == list(range(23))
    mixed = [len({groups[index] for index, _ in batch}) > 1 for batch in batches]
    # 23 rows are five batches and three rows: of each pass's six boundaries at most two lie in what is left over.
    assert sum(mixed) <= 2 * 4
    assert batches == list(StepBatchSampler(23, 4, 23, seed=3, groups=groups))
    assert batches != list(StepBatchSampler(23, 4, 23, seed=4, groups=groups))


def test_groups_smaller_than_a_batch_share_theirs() -> None:
    drawn = [index for batch in StepBatchSampler(5, 3, 10, seed=0, groups=np.arange(5)) for index, _ in batch]
    assert all(sorted(drawn[5 * turn : 5 * turn + 5]) == list(range(5)) for turn in range(6))


def test_processes_share_a_batch() -> None:
    for batch_size, world_size in ((6, 2), (5, 2), (7, 3)):
        alone = list(StepBatchSampler(10, batch_size, 5, seed=1))
        shares = [
            list(StepBatchSampler(10, batch_size, 5, seed=1, rank=rank, world_size=world_size))
            for rank in range(world_size)
        ]
        assert [[draw for part in parts for draw in part] for parts in zip(*shares, strict=True)] == alone
        sizes = [len(share[0]) for share in shares]
        assert max(sizes) - min(sizes) <= 1


def test_each_process_needs_an_image() -> None:
    with pytest.raises(ValueError, match="batch_size is 3 for all devices together, and there are 4"):
        StepBatchSampler(10, 3, 5, seed=1, world_size=4)


def test_the_same_draw_is_the_same_in_any_process(drawn: Path, schema: Schema) -> None:
    rows = read_annotations([drawn / "train"], schema)
    dataset = ImageDataset(rows, [0] * len(rows), Photometric(0.3, 0.3, blur=0.5, noise=0.5))
    loaded = [next(iter(loader(dataset, StepBatchSampler(len(rows), 6, 3, seed=5), workers))) for workers in (0, 1)]
    assert torch.equal(loaded[0].images, loaded[1].images)
    assert torch.equal(loaded[0].uniform, loaded[1].uniform)
    other = next(iter(loader(dataset, StepBatchSampler(len(rows), 6, 3, seed=6), 0)))
    assert not torch.equal(other.uniform, loaded[0].uniform)


def test_photometric_changes_colours_only_and_not_always() -> None:
    picture = torch.randint(0, 255, (40, 40, 3), dtype=torch.uint8).numpy()
    changed = [Photometric(0.3, 0.3)(picture, seed) for seed in range(12)]
    assert all(one.shape == picture.shape and one.dtype == picture.dtype for one in changed)
    assert 0 < sum((one == picture).all() for one in changed) < 12


def test_collate_pads_at_the_right_and_bottom(drawn: Path, schema: Schema) -> None:
    dataset = ImageDataset(read_annotations([drawn / "train"], schema), list(range(20)))
    items = [dataset[i] for i in range(20)]
    batch = collate(items)
    assert batch.index.tolist() == batch.category.tolist() == list(range(20))
    for i, (picture, *_) in enumerate(items):
        image = picture.pixels
        w, h = batch.sizes_wh[i].tolist()
        assert image.shape == (h, w, 3)
        assert torch.equal(batch.images[i, :, :h, :w], torch.from_numpy(image).permute(2, 0, 1))
        assert int(batch.images[i, :, h:].sum()) == int(batch.images[i, :, :, w:].sum()) == 0


def test_plain_loader_keeps_the_order(drawn: Path, schema: Schema) -> None:
    dataset = ImageDataset(read_annotations([drawn / "train"], schema), [0] * 20)
    assert [i for batch in plain_loader(dataset, 8, 0) for i in batch.index.tolist()] == list(range(20))


def test_a_batch_by_hand(tmp_path: Path) -> None:
    """Two pictures of 2 x 3 and 4 x 1 pixels (height x width), of categories 3 and 1, from rows 7 and 2."""
    Image.new("RGB", (3, 2), (10, 10, 10)).save(tmp_path / "7.png")
    Image.new("RGB", (1, 4), (20, 20, 20)).save(tmp_path / "2.png")
    rows = [ImageRow(f"{i}.png", "skirt", tmp_path / f"{i}.png") for i in range(8)]
    dataset = ImageDataset(rows, [0, 0, 1, 0, 0, 0, 0, 3])
    batch = collate([dataset[7], dataset[2]])
    assert batch.images[0, 0].tolist() == [[10, 10, 10], [10, 10, 10], [0, 0, 0], [0, 0, 0]]
    assert batch.images[1, 2].tolist() == [[20, 0, 0]] * 4
    assert batch.sizes_wh.tolist() == [[3, 2], [1, 4]]
    assert (batch.category.tolist(), batch.index.tolist()) == ([3, 1], [7, 2])


def test_kept_pictures_are_read_once_and_change_nothing(drawn: Path, schema: Schema) -> None:
    rows = read_annotations([drawn / "train"], schema, [])[:4]
    read, kept = (ImageDataset(rows, [0] * 4, Photometric(0.25, 0.25, 1.0, 1.0)) for _ in range(2))
    kept.keep()
    seen = [one.pixels.copy() for one in kept.kept]
    gone = [replace(row, path=Path("gone")) for row in rows]
    for again in range(2):
        kept.rows = gone
        for i in range(4):
            np.testing.assert_array_equal(read[i, again][0].pixels, kept[i, again][0].pixels)
            np.testing.assert_array_equal(seen[i], kept.kept[i].pixels)


def test_batches_of_so_many_pixels_by_hand() -> None:
    sizes_wh = np.array([[4, 2], [2, 4], [3, 3], [9, 9], [1, 1], [2, 2], [1, 1], [1, 1], [1, 1]])
    # 4 x 4 twice is 32; a third would be 48. 9 x 9 is above the limit and alone, also without a small one behind it.
    by_hand = [[0, 1], [2], [3], [4, 5, 6, 7], [8]]
    sampler = PixelBatchSampler(sizes_wh, 4, 32)
    assert (list(sampler), len(sampler)) == (by_hand, 5)
    assert list(PixelBatchSampler(sizes_wh, 4, 31)) == [[0], [1, 2], [3], [4, 5, 6, 7], [8]]
    assert list(PixelBatchSampler(sizes_wh, 1, 1e6)) == [[i] for i in range(9)]


def test_ranks_share_the_rows_and_none_stands_idle() -> None:
    sizes_wh = np.full((5, 2), 4)
    shares = [list(PixelBatchSampler(sizes_wh, 2, 1e6, rank, 2)) for rank in range(2)]
    assert shares == [[[0, 2], [4]], [[1, 3]]]
    # What is predicted twice counts once: a row is known by its id.
    assert [list(PixelBatchSampler(sizes_wh[:1], 2, 1e6, rank, 2)) for rank in range(2)] == [[[0]], [[0]]]


@pytest.fixture
def half_unreadable(tmp_path: Path) -> tuple[ImageDataset, list[str]]:
    """Six pictures, the second of them a text and the fourth lacking; and what is wrong with these, as it is said."""
    for i in (0, 2, 4, 5):
        Image.new("RGB", (8, 6), (i, 0, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "1.png").write_text("no picture")
    rows = [ImageRow(f"{i}.png", "skirt", tmp_path / f"{i}.png") for i in range(6)]
    said = [
        f"{tmp_path / '1.png'}: not an image; expected {', '.join(FORMATS)}; replace the file, or leave it out",
        f"{tmp_path / '3.png'}: missing image; put the file there, or leave it out",
    ]
    return ImageDataset(rows, [0] * 6), said


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_pictures_are_named_whoever_reads_them(
    half_unreadable: tuple[ImageDataset, list[str]], workers: int
) -> None:
    dataset, said = half_unreadable
    with pytest.raises(DataError) as raised:
        list(plain_loader(dataset, 4, workers))
    assert [str(fault) for fault in raised.value.faults] == said
    assert str(raised.value).startswith("2 faults: ")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_skipped_picture_costs_its_own_row_alone(
    half_unreadable: tuple[ImageDataset, list[str]], workers: int
) -> None:
    dataset, said = half_unreadable
    skipped: list[tuple[int, str]] = []
    sampler = PixelBatchSampler(np.array([[8, 6]] * 6), 3, 1e6)
    batches = list(loader(dataset, sampler, workers, lambda index, error: skipped.append((index, str(error)))))
    assert skipped == list(zip((1, 3), said, strict=True))
    assert [batch.index.tolist() for batch in batches] == [[0, 2], [4, 5]]
    assert [batch.images[:, 0, 0, 0].tolist() for batch in batches] == [[0, 2], [4, 5]]
    alone = loader(dataset, PixelBatchSampler(np.array([[8, 6]] * 4), 1, 1e6), workers, lambda *_: None)
    assert [batch.index.tolist() for batch in alone] == [[0], [2]]  # nothing is left of the others
