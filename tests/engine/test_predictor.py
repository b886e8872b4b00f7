"""The engine: photos in whatever form, a stream of them, and what cannot be read costs itself alone."""

import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.photos import Photo
from garment_keypoints.pipeline.engine.device import Device
from garment_keypoints.pipeline.engine.predictor import DetectionOptions, Predictor, load_predictor
from garment_keypoints.pipeline.engine.result import Result
from garment_keypoints.pipeline.learning.pairs import Weights
from garment_keypoints.pipeline.orchestrator import TwoStage
from PIL import Image, ImageSequence
from torch.utils.data import DataLoader, Dataset

PHOTO = Path(__file__).parents[2] / "docs" / "photos" / "273e292f.jpg"


@pytest.fixture(scope="module")
def predictor(schema: Schema) -> Predictor:
    options = DetectionOptions(threshold=0.2, flip_test=False, refine=0)
    return load_predictor(Weights().pair("cpu"), schema, options, Device(accelerator="cpu", batch_size=4))


@pytest.fixture(scope="module")
def files(drawn: Path) -> list[Path]:
    return sorted((drawn / "test" / "Images").rglob("*.jpg"))[:6]


def close(results: list[Result], expected: list[Result], pixels: float = 1e-2) -> None:
    for one, other in zip(results, expected, strict=True):
        assert (one.error, one.size_wh, one.category) == (other.error, other.size_wh, other.category)
        np.testing.assert_allclose(one.xy, other.xy, atol=pixels)
        np.testing.assert_allclose(one.box, other.box, atol=pixels)


@pytest.mark.parametrize(("kind", "factor", "pixels"), [("jpg", 1, 1e-2), ("png", 4, 1e-2), ("jpg", 4, 3.0)])
def test_a_photo_is_the_same_in_every_form(
    predictor: Predictor, tmp_path: Path, kind: str, factor: int, pixels: float
) -> None:
    """A large one as well, which is decoded smaller: a JPEG by its decoder from a file, and from its pixels otherwise."""
    file = tmp_path / f"a.{kind}"
    with Image.open(PHOTO) as image:
        image.resize((factor * image.width, factor * image.height)).save(file, quality=95)
    with Image.open(file) as opened:
        size, array = opened.size, np.asarray(Image.open(file))
        forms = [file, str(file), file.read_bytes(), Photo("named", file), array, Image.fromarray(array), opened]
        first, *others = [predictor(form)[0] for form in forms]
        assert opened.size == size == first.size_wh
    assert first.garments
    close(others, [first] * len(others), pixels)
    assert [one.photo for one in (first, *others)] == [str(file), str(file), "", "named", "", "", ""]


def test_results_come_before_the_last_photo_is_read(predictor: Predictor, files: list[Path]) -> None:
    taken: list[int] = []

    def photos() -> Iterator[Path]:
        for i in range(100):
            taken.append(i)
            yield files[i % len(files)]

    stream = predictor.stream(photos())
    first = next(stream)
    assert first.photo == str(files[0])
    assert len(taken) <= 2 * 4 + 2 * 2 + 1  # two batches, and the headers of a few more
    stream.close()
    assert len(taken) < 20


def test_a_bad_photo_in_a_batch_costs_its_line_alone(predictor: Predictor, files: list[Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.jpg"  # whole by its header
    cut.write_bytes(files[1].read_bytes()[:1500])
    with Image.open(cut) as torn:
        given = [files[0], cut, files[1], "gone.jpg", b"no picture", torn, Image.new("RGB", (0, 7)), files[2]]
        results = predictor(given)
    assert [one.photo for one in results] == [str(one) if isinstance(one, str | Path) else "" for one in given]
    reasons = ["", "unreadable image", "", "missing image", "not an image", "unreadable image", "without a pixel", ""]
    for result, reason in zip(results, reasons, strict=True):
        assert reason in result.error
        assert bool(result.error) == bool(reason)
    assert str(cut) in results[1].error
    close([one for one in results if not one.error], predictor(files[:3]))


def test_a_caller_may_change_what_it_has_given(predictor: Predictor) -> None:
    """One array filled with frame after frame, the frames of an animation, and one picture three times."""
    content = io.BytesIO()
    greys = [Image.new("L", (40, 30), 20 * i) for i in range(10)]
    greys[0].save(content, "GIF", save_all=True, append_images=greys[1:])

    def frames() -> Iterator[np.ndarray]:
        array = np.zeros((30, 40, 3), np.uint8)
        for i in range(10):
            array[:] = 20 * i
            yield array

    with Image.open(content) as animation, Image.open(PHOTO) as photo:
        for form in (frames(), ImageSequence.Iterator(animation)):
            assert [one.picture.pixels[3, 4, 1] for one in predictor.stream(form)] == [20 * i for i in range(10)]
        results = predictor([photo] * 6)
    assert not any(one.error for one in results)
    close(results, [predictor(PHOTO)[0]] * 6)


@pytest.mark.parametrize("content", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.float32), 7])
def test_what_is_no_photo_is_none_by_another_name(predictor: Predictor, content: object) -> None:
    with pytest.raises(UserError, match="a photo is a"):
        predictor(Photo("named", content))


def test_batches_are_cut_by_pixels_and_by_number(
    predictor: Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [len(one) for one in predictor.batches(files)] == [4, 2]
    expected = predictor(files)
    monkeypatch.setattr(predictor, "options", Device(accelerator="cpu", batch_megapixels=0.1, workers=0))
    side = Image.new("RGB", (200, 200))  # with one of 128 pixels more than the limit, both alone under it
    assert [len(one) for one in predictor.batches([*files[:2], side, *files[2:4]])] == [2, 2, 1]
    close(list(predictor.stream(files)), expected)


def test_files_by_other_names_and_without_their_pictures(predictor: Predictor, files: list[Path]) -> None:
    found = predictor.find(["a", "b"], [files[0], Path("gone.jpg")])
    assert [one.photo for one in found] == ["a", "b"]
    assert found[0].garments
    assert found[0].picture is None
    assert found[1].error.startswith("gone.jpg: missing image")
    assert predictor.find([], []) == []


def test_what_is_not_finite_is_refused(
    predictor: Predictor, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_step = TwoStage.predict_step

    def damaged(self, batch):
        result = predict_step(self, batch)
        result["regions"]["xy"] *= torch.nan
        return result

    monkeypatch.setattr(TwoStage, "predict_step", damaged)
    with pytest.raises(UserError, match="a box or point that is not finite; their weights are damaged"):
        predictor(files[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": "2"}, "photos are predicted on one device"),
        ({"strategy": "ddp"}, "photos are predicted on one device"),
        ({"accelerator": "tpu"}, "accelerator is 'tpu'; expected one of auto, cpu"),
        ({"precision": "16-true"}, "precision is '16-true'; photos are predicted in auto"),
    ],
)
def test_devices_that_are_none_are_refused(predictor: Predictor, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Predictor(predictor.stages, predictor.schema, {}, Device(**{"accelerator": "cpu"} | options))


class Found(Dataset):
    """Photos as a DataLoader's worker predicts them."""

    def __init__(self, predict: Callable[[Path], object]) -> None:
        self.predict = predict

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> object:
        return self.predict(PHOTO)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")  # this is what is tried
@pytest.mark.parametrize("anew", [False, True])
def test_a_forked_process_is_refused_instead_of_waiting_for_ever(
    predictor: Predictor, schema: Schema, anew: bool
) -> None:
    predictor(PHOTO)
    predict = (lambda _: load_predictor(Weights().pair("cpu"), schema)) if anew else predictor
    loader = DataLoader(Found(predict), num_workers=1, multiprocessing_context="fork", timeout=30)
    with pytest.raises(UserError, match=r"loaded before this process was forked.*multiprocessing_context=\"spawn\""):
        next(iter(loader))
    predictor(PHOTO)


def test_pickling_says_what_to_do_instead(predictor: Predictor) -> None:
    with pytest.raises(UserError, match=r"cannot be pickled.*; call load"):
        pickle.dumps(predictor)
