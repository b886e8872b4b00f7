"""The schema's derived parts against the published tables of FashionAI."""

from pathlib import Path

import pytest
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.schema import Schema, load_schema

# Pairs of columns that swap in a mirror, as the public solutions list them.
FLIP_PAIRS = [(0, 1), (3, 4), (5, 6), (7, 8), (9, 11), (10, 12), (13, 14), (15, 16), (17, 18), (20, 22), (21, 23)]


def test_flip_index_is_the_published_one(schema: Schema) -> None:
    expected = list(range(24))
    for a, b in FLIP_PAIRS:
        expected[a], expected[b] = b, a
    assert list(schema.flip_index) == expected


def test_reference_pairs(schema: Schema) -> None:
    armpits, waistbands = (5, 6), (15, 16)
    assert schema.reference == {
        "blouse": armpits,
        "outwear": armpits,
        "dress": armpits,
        "trousers": waistbands,
        "skirt": waistbands,
    }


def test_numbers_of_keypoints(schema: Schema) -> None:
    assert schema.mask.sum(1).tolist() == [13, 14, 15, 7, 4]


def test_survives_a_round_trip_through_plain_values(schema: Schema) -> None:
    again = Schema.from_dict(schema.to_dict())
    assert again == schema
    assert again.fingerprint == schema.fingerprint


BASE = {
    "name": "t",
    "keypoints": ["hem_left", "hem_right", "logo"],
    "reference": ["hem"],
    "categories": {"towel": ["hem_left", "hem_right", "logo"]},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"keypoints": ["hem_left", "logo"], "categories": {"towel": ["logo"]}},
            "hem_right.*missing",
        ),  # no mirror image
        ({"categories": {"towel": ["hem_left", "logo"]}}, "towel has .'hem_left'. without"),  # one side only
        ({"categories": {"towel": ["hem_left", "hem_right", "tag"]}}, "names .'tag'."),  # unknown keypoint
        ({"categories": {"towel": ["logo", "logo"]}}, "`categories`, towel has 'logo' more than once"),
        ({"categories": {"towel": []}}, "towel is empty"),
        ({"categories": {}}, "no categories"),
        ({"categories": ["towel"]}, "`categories` is .'towel'.; expected a mapping"),
        ({"keypoints": ["logo", "logo"]}, "`keypoints` has 'logo' more than once"),
        ({"keypoints": ["logo", True]}, "`keypoints` has True; expected names"),
        ({"reference": ["waist"]}, "`reference` names .'waist'., but `keypoints` has no pair such as waist_left"),
        ({"reference": "hem"}, "`reference` is 'hem'; expected a list of names"),
        ({"reference": {"sock": ["hem_left", "hem_right"]}}, "names category 'sock'; expected one of towel"),
        ({"reference": {"towel": ["hem_left", "tag"]}}, "`reference` of towel names 'tag', not a keypoint of it"),
        ({"reference": {"towel": ["hem_left"]}}, "`reference`, towel has .'hem_left'.; expected two different names"),
        ({"pairs": [["hem_left", "tag"]]}, "`pairs` names 'tag'"),
        ({"pairs": [["hem_left", "logo"], ["logo", "hem_right"]]}, "`pairs` has 'logo' more than once"),
        ({"pairs": "hem"}, "`pairs` is 'hem'; expected a list of pairs"),
        ({"refrence": ["hem"]}, "unknown keys .'refrence'.; expected name, keypoints, categories, reference, pairs"),
    ],
)
def test_refuses_a_schema_that_does_not_hold_together(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"^schema t: .*{message}"):
        Schema.from_dict(BASE | change)


def test_own_schema_from_a_file_needs_no_code(tmp_path: Path) -> None:
    file = tmp_path / "towels.yaml"
    file.write_text(
        "name: t\nkeypoints: [hem_left, hem_right]\nreference: [hem]\ncategories: {towel: [hem_left, hem_right]}\n"
    )
    assert load_schema(file).reference == {"towel": (0, 1)}
    with pytest.raises(ValueError, match="nowhere"):
        load_schema("nowhere")
    file.write_text("name: t\nkeypoints: [a]\n")
    with pytest.raises(ValueError, match=r"towels\.yaml: schema lacks \['categories'\]"):
        load_schema(file)


def test_the_schema_of_published_weights_stays_what_it_was(schema: Schema) -> None:
    assert schema.fingerprint == "07abed314152"


def test_declared_pairs_take_the_place_of_names() -> None:
    own = Schema.from_dict(BASE | {"pairs": [["logo", "hem_left"]], "reference": {"towel": ["hem_right", "logo"]}})
    assert own.sides == ((2, 0),)
    assert own.flip_index == (2, 1, 0)
    assert own.reference == {"towel": (1, 2)}
    assert Schema.from_dict(own.to_dict()) == own
    without = Schema.from_dict(BASE | {"pairs": [], "reference": []})
    assert without.flip_index == (0, 1, 2)
    assert Schema.from_dict(without.to_dict()) == without


def test_sides_may_stand_anywhere_in_a_name() -> None:
    names = ["left_shoulder", "right_shoulder", "nose"]
    own = Schema.from_dict(
        {"name": "t", "keypoints": names, "reference": ["shoulder"], "categories": {"person": names, "face": ["nose"]}}
    )
    assert own.sides == ((0, 1),)
    assert own.reference == {"person": (0, 1), "face": None}


def test_a_schema_like_deepfashion2_is_accepted() -> None:
    """13 categories, 294 points numbered within each, no sides, no reference."""
    counts = {
        "short_sleeved_shirt": 25, "long_sleeved_shirt": 33, "short_sleeved_outwear": 31, "long_sleeved_outwear": 39,
        "vest": 15, "sling": 15, "shorts": 10, "trousers": 14, "skirt": 8, "short_sleeved_dress": 29,
        "long_sleeved_dress": 37, "vest_dress": 19, "sling_dress": 19,
    }  # fmt: skip
    categories = {name: [f"{name}_{i}" for i in range(1, count + 1)] for name, count in counts.items()}
    own = Schema.from_dict(
        {"name": "df2", "keypoints": [one for names in categories.values() for one in names], "categories": categories}
    )
    assert own.mask.shape == (13, 294)
    assert own.mask.sum(1).tolist() == list(counts.values())
    assert own.flip_index == tuple(range(294))
    assert own.reference == dict.fromkeys(counts)
    assert Schema.from_dict(own.to_dict()) == own


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: caf\xe9\n", "own.yaml: not UTF-8 .*save it as UTF-8"),
        (b"name: 2020-13-45\n", "own.yaml: not readable as YAML: month must be in"),
        (b"[" * 5000, "own.yaml: not readable as YAML"),
        (b"- a\n", "own.yaml: holds list, expected a mapping"),
        (b"", "own.yaml: holds NoneType, expected a mapping"),
        (b"name: null\nkeypoints: [a]\ncategories: {b: [a]}\n", "own.yaml: schema: `name` has None; expected names"),
        (
            b"name: t\nkeypoints: [a, image_id]\ncategories: {b: [a]}\n",
            "own.yaml: .*has 'image_id'; expected printable",
        ),
        (b"name: t\nkeypoints: null\ncategories: {b: [a]}\n", "own.yaml: schema t: `keypoints` is None"),
        (b"name: t\nkeypoints: [a]\ncategories: {b: null}\n", "own.yaml: schema t: `categories`, b is None"),
        (b"name: t\nkeypoints: [a]\ncategories: {b: [a]}\nreference: hem\n", "own.yaml: .*`reference` is 'hem'"),
        (b"name: t\nkeypoints: [a]\ncategories: {b: [a]}\nreference: null\n", "own.yaml: .*`reference` is None"),
    ],
)
def test_files_that_are_no_schema_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "own.yaml").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_schema(tmp_path / "own.yaml")


def test_a_name_longer_than_a_file_may_have_is_no_schema() -> None:
    with pytest.raises(UserError, match="neither packaged"):
        load_schema("x" * 5000)
