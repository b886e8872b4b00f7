"""Pairs of weights: published, found by name or folder, and refused when a file is not what was published."""

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from garment_keypoints.detector.inference import load_detector
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.schema import Schema
from garment_keypoints.pipeline.learning.manifests import recorded_refine
from garment_keypoints.pipeline.learning.pairs import (
    DEFAULT,
    GRAPHS,
    MANIFEST,
    PACKAGED,
    Pair,
    find_pair,
    packaged,
)
from garment_keypoints.pipeline.learning.start import load_start
from garment_keypoints.pipeline.learning.weights import load_checkpoint, save_checkpoint

from tests.commands.running import run, submit_options
from tests.learning.test_weights import OLD, header, save

FILES = ("detector.safetensors", "keypoints.safetensors")


def publish(out: Path, detector: Path, keypoints: Path, *options: object) -> int:
    pair = ("--detector", detector, "--keypoints", keypoints)
    return run("publish", *pair, "--out", out, "--terms", "for tests", *options)


def second(file: Path, schema: Schema) -> Path:
    save_checkpoint(file, "keypoints", schema, {"lr": 0.1}, {"w": torch.ones(2)}, train_ids=["a"])
    return file


def test_the_packaged_pair_is_whole() -> None:
    assert DEFAULT in packaged()
    for name in packaged():
        pair = find_pair(name)
        assert (pair.name, pair.detector.parent, pair.keypoints.parent) == (name, PACKAGED / name, PACKAGED / name)
    assert find_pair(str(PACKAGED / DEFAULT)) == find_pair(DEFAULT)


def test_published_in_the_present_format_and_float16(tmp_path: Path, schema: Schema) -> None:
    keypoints = second(tmp_path / "k.safetensors", schema)
    for name, float16, dtype in (("half", "true", torch.float16), ("whole", "false", torch.float32)):
        assert publish(tmp_path / name, OLD, keypoints, "--float16", float16) == 0
        for file in FILES:
            assert header(tmp_path / name / file)["provenance"]["exported"]["command"].startswith("python -m pipeline")
        assert safetensors.torch.load_file(tmp_path / name / FILES[1])["w"].dtype == dtype
    old, new = (load_detector(file, schema).network.state_dict() for file in (OLD, tmp_path / "half" / FILES[0]))
    assert all(torch.equal(old[key], new[key]) for key in old | new)
    assert json.loads((tmp_path / "half" / MANIFEST).read_text())["terms"] == "for tests"


def test_publishing_the_published_changes_no_byte(tmp_path: Path, schema: Schema) -> None:
    keypoints, one, other = second(tmp_path / "k.safetensors", schema), tmp_path / "one", tmp_path / "other"
    assert publish(one, OLD, keypoints) == 0
    before = [(one / file).read_bytes() for file in FILES]
    for graph in ("detector.onnx", "keypoints.int8.onnx"):
        (one / graph).write_bytes(b"of the networks before")
    for out in (one, other):
        assert publish(out, *(one / file for file in FILES)) == 0
        assert [(out / file).read_bytes() for file in FILES] == before
    assert sorted(file.name for file in one.iterdir()) == sorted(
        (*FILES, "keypoints.ids.txt", "detector.ids.txt", MANIFEST)
    )


def test_what_float16_cannot_hold_stays_float32(tmp_path: Path, schema: Schema) -> None:
    state = {"w": torch.full((2,), 0.5), "running_var": torch.tensor([1.0, 70000])}
    file, keypoints = save(tmp_path / "x.safetensors", schema, state), second(tmp_path / "k.safetensors", schema)
    assert publish(tmp_path / "pair", file, keypoints) == 0
    out = tmp_path / "pair" / FILES[0]
    dtypes = {key: value.dtype for key, value in safetensors.torch.load_file(out).items()}
    assert dtypes == {"w": torch.float16, "running_var": torch.float32}
    assert load_checkpoint(out, "detector", schema)["state_dict"]["running_var"].tolist() == [1, 70000]


def test_a_pair_is_of_both_stages_and_one_schema(tmp_path: Path, schema: Schema, capsys: pytest.CaptureFixture) -> None:
    other = Schema.from_dict(schema.to_dict() | {"name": "mine"})
    file, keypoints = save(tmp_path / "x.safetensors", schema), second(tmp_path / "k.safetensors", other)
    for given, message in (
        ((file, file), "--keypoints is .*x.safetensors, a checkpoint of the detector stage"),
        ((file, keypoints), "different schemas"),
    ):
        assert publish(tmp_path / "pair", *given) == 1
        assert not (tmp_path / "pair").exists()
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(capsys.readouterr().err)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_publishing_overwrites_nothing_foreign(tmp_path: Path, schema: Schema, name: str) -> None:
    file, keypoints = save(tmp_path / "x.safetensors", schema), second(tmp_path / "k.safetensors", schema)
    (tmp_path / "pair").mkdir()
    (tmp_path / "pair" / name).write_text("{}")
    assert publish(tmp_path / "pair", file, keypoints) == 1
    assert [one.name for one in (tmp_path / "pair").iterdir()] == [name]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda pair: (pair / FILES[1]).unlink(), "keypoints.safetensors: missing, weights.json beside it names it"),
        (lambda pair: (pair / FILES[0]).write_bytes(b"x"), "detector.safetensors: its SHA-256 is .* damaged, changed"),
        (lambda pair: (pair / MANIFEST).write_text("[]"), "weights.json: damaged, or of a newer version"),
        (lambda pair: (pair / MANIFEST).write_text('{"format": 2}'), "weights.json: damaged, or of a newer version"),
        (
            lambda pair: (pair / MANIFEST).write_text('{"format": 1, "sha256": {}}'),
            "weights.json: damaged, or of a newer",
        ),
        (lambda pair: (pair / MANIFEST).unlink(), "--weights is .*; expected cpu, or a folder that `publish` wrote"),
    ],
)
def test_a_pair_that_is_not_as_published_is_refused(tmp_path: Path, spoil, message: str) -> None:
    pair = tmp_path / "pair"
    shutil.copytree(PACKAGED / DEFAULT, pair)
    find_pair(str(pair))
    spoil(pair)
    with pytest.raises(UserError, match=message):
        find_pair(str(pair))


def test_a_pair_keeps_its_refinements_or_is_asked(tmp_path: Path, capsys) -> None:
    pair, networks = tmp_path / "pair", [PACKAGED / DEFAULT / file for file in FILES]
    assert publish(pair, *networks) == 0
    assert find_pair(str(pair)).refine == 0
    assert publish(pair, *networks, "--refine", 1) == 0
    assert publish(pair, *networks) == 1
    assert "the pair that is there was published with --refine 1; name --refine 1" in capsys.readouterr().err
    assert find_pair(str(pair)).refine == 1
    assert publish(pair, *networks, "--refine", 0) == 0
    assert find_pair(str(pair)).refine == 0


@pytest.mark.parametrize(
    "change", [{"passes": 2.0}, {"passes": "2"}, {"refine": 1.0}, {"refine": None}, {"refine": -1}]
)
def test_refinements_that_are_no_whole_number_are_refused(tmp_path: Path, change: dict) -> None:
    shutil.copytree(PACKAGED / DEFAULT, tmp_path / "pair")
    manifest = json.loads((tmp_path / "pair" / MANIFEST).read_text())
    (tmp_path / "pair" / MANIFEST).write_text(json.dumps({**manifest, **change}))
    with pytest.raises(UserError, match=r"weights\.json: refine is .*; expected a whole number of 0 to 2; publish"):
        find_pair(str(tmp_path / "pair"))


@pytest.mark.parametrize("name", ["detector.onnx", FILES[1]])
def test_a_published_file_is_checked_where_it_is_named_itself(tmp_path: Path, name: str) -> None:
    shutil.copytree(PACKAGED / DEFAULT, tmp_path / "pair")
    file, stage = tmp_path / "pair" / name, Path(name).stem
    named = {"detector": None, "keypoints": Path("mine.safetensors"), stage: file}
    Pair.of(DEFAULT, **named)
    load_start(str(tmp_path / "pair" / FILES[1]), "keypoints")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"{name}: its SHA-256 is .* damaged, changed or half copied"):
        Pair.of(DEFAULT, **named)
    if stage == "keypoints":
        with pytest.raises(UserError, match="its SHA-256 is"):
            load_start(str(file), stage)
    (tmp_path / "pair" / MANIFEST).unlink()  # of a file without a published hash nothing is known
    Pair.of(DEFAULT, **named)


@pytest.mark.parametrize(
    ("content", "refine"),
    [({}, 0), ({"passes": 1}, 0), ({"passes": 3}, 2), ({"refine": 2}, 2), ({"refine": 1, "passes": 3}, 1)],
)
def test_older_manifests_count_passes(content: dict, refine: int) -> None:
    assert recorded_refine(content) == refine


def test_one_network_may_stand_in_for_that_of_the_pair() -> None:
    default, mine = find_pair(DEFAULT), Path("mine.safetensors")
    assert Pair.of(DEFAULT, None, mine) == Pair(DEFAULT, default.detector, mine)
    assert Pair.of(DEFAULT, mine, None) == Pair(DEFAULT, mine, default.keypoints, default.calibration, default.refine)
    assert Pair.of("not read at all", mine, mine).detector == mine


def test_named_checkpoints_that_do_not_run_in_the_runtime_are_refused() -> None:
    graph, eight, plain = (Path(name) for name in ("a.onnx", "keypoints.int8.onnx", "a.safetensors"))
    for runtime, files in (("onnx", (plain, graph)), ("onnx", (graph, plain)), ("int8", (graph, graph))):
        with pytest.raises(
            UserError, match=f"--runtime is {runtime}, and --.* does not run in that; leave --runtime out"
        ):
            Pair.of("not read", *files, runtime)
    assert Pair.of("not read", graph, eight, "int8").keypoints == eight
    assert Pair.of("not read", graph, graph, "onnx").keypoints == graph
    assert Pair.of("not read", plain, graph, "auto").detector == plain
    with pytest.raises(UserError, match="runtime is 'foo'; expected one of auto, torch, onnx, int8"):
        Pair.of(DEFAULT, None, None, "foo")


def test_submit_needs_no_checkpoint_named(trained: Path, drawn: Path, tmp_path: Path) -> None:
    options = ("--test", drawn / "test", "--workers", 0, "--limit", 2)
    assert run("submit", *options, "--out", tmp_path / "default.csv") == 0
    named = [part for stage, file in GRAPHS["onnx"].items() for part in (f"--{stage}", PACKAGED / DEFAULT / file)]
    refine = ("--refine", find_pair(DEFAULT).refine)
    assert run("submit", *options, *named, *refine, "--out", tmp_path / "named.csv") == 0
    assert (tmp_path / "default.csv").read_bytes() == (tmp_path / "named.csv").read_bytes()
    pair, detector = tmp_path / "pair", trained / "detector" / "final.safetensors"
    assert publish(pair, detector, trained / "keypoints" / "final.safetensors") == 0
    assert run("submit", *options, "--weights", pair, "--out", tmp_path / "mine.csv") == 0
    assert run("submit", *submit_options(trained, drawn / "test"), "--limit", 2, "--out", tmp_path / "trained.csv") == 0
    assert (tmp_path / "mine.csv").read_bytes() != (tmp_path / "default.csv").read_bytes()
