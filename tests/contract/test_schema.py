"""The schema's derived parts against the published tables of FashionAI."""

import pytest

from pipeline.contract.schema import Schema, load_schema

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
        ({"reference": ["waist"]}, "towel has no pair of"),  # nothing to normalise by
        ({"categories": {}}, "no categories"),
    ],
)
def test_refuses_a_schema_that_does_not_hold_together(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schema.from_dict(BASE | change)


def test_own_schema_from_a_file_needs_no_code(tmp_path) -> None:
    file = tmp_path / "towels.yaml"
    file.write_text(
        "name: t\nkeypoints: [hem_left, hem_right]\nreference: [hem]\ncategories: {towel: [hem_left, hem_right]}\n"
    )
    assert load_schema(file).reference == {"towel": (0, 1)}
    with pytest.raises(ValueError, match="nowhere"):
        load_schema("nowhere")
