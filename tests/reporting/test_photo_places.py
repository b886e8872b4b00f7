"""Places of photos: of any set of names none has another's, none is too long, and none leads out of the folder."""

import os
from pathlib import Path, PurePosixPath

from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.data.photos import video_of
from garment_keypoints.pipeline.reporting.overlay import crop_file
from garment_keypoints.pipeline.reporting.photo_files import CROPS, OVERLAYS, PhotoFiles
from garment_keypoints.pipeline.reporting.photo_places import Places, place_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.test_catalogue import garment


def test_no_two_names_have_one_place() -> None:
    names = [
        "a/x",
        "../a/x",
        "/a/x",
        "_/a/x",
        "__/a/x",
        "___/a/x",
        "____/a/x",
        "a/../x",
        "../../a/x",
        "a/__/x",
        "a:/x",
        "x",
    ]
    places = [place_of(name) for name in names]
    assert len(set(places)) == len(names)
    assert all(".." not in place.parts and not place.is_absolute() for place in places)
    assert str(places[1]) == "__/a/x"
    assert str(place_of("//a/x")) == "_/a/x"


def test_photos_keep_their_names_where_they_can() -> None:
    places = Places()
    names = ["shop/a.jpg", "shop/b.png", "a.jpg", "shop/a.1.jpg", "shop/clip.mp4/000000", "shop/clip.jpg", "shop/a"]
    assert [str(places.take(name)) for name in names[:-1]] == names[:-1]
    assert str(places.take(names[-1])) != names[-1]  # its label would be that of a.jpg
    assert [str(places.take(name)) for name in names[:-1]] == names[:-1]  # a photo is not in its own way


def test_a_name_leaves_room_for_suffixes() -> None:
    names = [f"s/{'漢' * 80}{i}.png" for i in range(2)] + [f"s/{'x' * 100}.{'y' * 154}"]
    places = [Places().take(name) for name in names]
    assert len(set(places)) == 3
    assert {len(os.fsencode(place.name)) <= 200 for place in places} == {True}
    assert [str(place)[:4] + place.suffix[:4] for place in places] == ["s/漢漢.png", "s/漢漢.png", "s/xx.yyy"]
    assert str(Places().take(f"s/{'x' * 196}.jpg")) == f"s/{'x' * 196}.jpg"


def test_a_place_from_an_earlier_run_stays() -> None:
    places = Places()
    first, second = places.take("x.jpg"), places.take("x.png")
    later = Places()
    later.keep("x.png", second)
    assert later.take("x.jpg") == first == PurePosixPath("x.jpg")
    assert later.take("x.png") == second
    later = Places()
    later.keep("x.png", PurePosixPath("x.png"))
    assert later.take("x.jpg") != first


BITS = [
    "a",
    "A",
    "_",
    "__",
    ".",
    "..",
    "-overlay",
    "~",
    "-0-dress",
    "000000",
    "x" * 90,
    "漢" * 70,
    ":",
    "%",
    "\udce9",
    " ",
]
ENDS = [
    "",
    ".jpg",
    ".JPG",
    ".jpeg",
    ".png",
    ".png.jpg",
    ".txt",
    ".mp4",
    ".avi",
    ".yaml",
    ".dat",
    ".jpg__",
    "-overlay.mp4",
]
part = st.tuples(st.lists(st.sampled_from(BITS), min_size=1, max_size=3), st.sampled_from(ENDS)).map(
    lambda one: "".join(one[0]) + one[1]
)
file_name = part.filter(lambda one: len(os.fsencode(one)) <= 255 and one not in (".", ".."))
folder = st.just("..") | file_name
name = st.tuples(st.sampled_from(["", "/", "//"]), st.lists(folder, max_size=2), file_name).map(
    lambda one: one[0] + "/".join([*one[1], one[2]])
)


def written(files: PhotoFiles, name: str, result: PhotoResult) -> list[Path]:
    """Return all that is written of a photo; of a frame the clip of its video as well."""
    place = files.place({"photo": name})
    picture, crops = (files._picture(kind, place) for kind in (OVERLAYS, CROPS))
    own = [files._label(place), picture, *(crop_file(crops, i, one.category) for i, one in enumerate(result.garments))]
    return own


def folders_and_files(names: list[str]) -> list[str]:
    """Leave out what cannot lie on one disk: a name that is a folder of another's as well."""
    spelled = {str(PurePosixPath(one)).lstrip("/") for one in names}
    above = {str(parent) for one in spelled for parent in PurePosixPath(one).parents}
    return [one for one in dict.fromkeys(names) if str(PurePosixPath(one)).lstrip("/") not in above]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(name, min_size=2, max_size=8))
def test_any_names_have_files_of_their_own(schema: Schema, names: list[str]) -> None:
    out = Path("/out")
    files = PhotoFiles(out, schema, overlays=True, crops=True)
    seen: dict[str, str] = {}
    clips: dict[str, str] = {}
    for one in folders_and_files(names):
        result = PhotoResult(one, (9, 9), [garment(category, schema) for category in ("skirt", "dress")])
        made = written(files, one, result)
        if video := video_of(one):
            clip = str(files._clip(files.place({"photo": one}).parent)).lower()
            assert clips.setdefault(clip, video) == video
            made += [Path(clip)] if clip not in seen else []
        for file in made:
            assert ".." not in file.parts
            assert file.is_relative_to(out)
            assert len(os.fsencode(file.name)) <= 255
            assert str(file).lower() not in seen, f"{one} and {seen[str(file).lower()]} have one file"
            seen[str(file).lower()] = one
    above = {str(parent).lower() for file in seen for parent in Path(file).parents}
    assert not above & seen.keys(), "a file lies where a folder is needed"
