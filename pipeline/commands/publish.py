"""Verbs that publish: weights to be shared, and the tables of all results."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from pipeline import views
from pipeline.contract.faults import UserError
from pipeline.contract.files import file_hash, refuse_foreign, write_text
from pipeline.contract.schema import load_schema
from pipeline.learning.pairs import (
    CALIBRATION,
    FILES,
    MANIFEST,
    MOST_PASSES,
    find_pair,
    is_manifest,
    passes_of,
    publish_pair,
)
from pipeline.reporting.records import holds, provenance, read_json, write_json
from pipeline.reporting.tables import HEAD, gather, write_report
from pipeline.reporting.weights_card import HEAD as CARD_HEAD


def publish(
    detector: Path,
    keypoints: Path,
    out: Path,
    terms: str,
    calibration: Path | None = None,
    float16: bool = True,
    passes: int = 0,
) -> None:
    """Make a pair of weights to be shared: both networks in the present format and in float16, and their hashes.

    Args:
        detector: detector checkpoint
        keypoints: keypoint checkpoint
        out: folder of the pair, named like it
        terms: what others may do with the weights, and what they were made from, in one sentence
        calibration: what the scores of the keypoint network mean: a file that `calibrate` wrote for one of the same recipe
        float16: weights in float16, half the size
        passes: in so many the points are placed where nobody says otherwise; 2 crops again around the points of a first pass
            and averages both (0: one, unless the pair that is there has more, which is asked)
    """
    if not 0 <= passes <= MOST_PASSES:
        raise UserError(f"--passes is {passes}; expected 0 to {MOST_PASSES}")
    files = [out / name for name in FILES.values()]
    for file in files:
        refuse_foreign(file, _is_weights, "a file of weights", "choose another --out")
    refuse_foreign(out / MANIFEST, is_manifest, "a list that this command wrote", "choose another --out")
    if calibration is None and (out / CALIBRATION).exists():
        raise UserError(
            f"{out / CALIBRATION} is of the pair that is there; name it --calibration if it fits these networks too, or remove it"
        )
    if not passes and (out / MANIFEST).exists() and (before := passes_of(out / MANIFEST)) > 1:
        raise UserError(
            f"{out / MANIFEST}: the pair that is there places points in {before} passes; name --passes {before} if these "
            "networks are to as well, or --passes 1"
        )
    about = {"terms": terms, "passes": passes or 1, "provenance": provenance()}
    publish_pair({"detector": detector, "keypoints": keypoints}, out, about, float16, calibration)
    for file in files:
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def card(weights: str, record: Path, schema: str = "fashionai") -> None:
    """Write the card of a pair of weights, README.md in its folder, with the figures of a scored submission by it.

    Args:
        weights: the name of a packaged pair, or a folder that `publish` wrote
        record: record of the submission, the .json beside the CSV that `submit` wrote with --answers
        schema: packaged schema, or a YAML file of your own
    """
    pair, loaded, scored = find_pair(weights), load_schema(schema), read_json(record)
    if not {"job", "figures", "provenance", "test"} <= scored.keys() or "ne" not in scored["figures"]:
        raise UserError(f"{record}: not the record of a scored submission; name the .json of a `submit` with --answers")
    for stage in FILES:
        known = {file_hash(getattr(one, stage)) for one in (pair, find_pair(weights, "onnx"))}
        if scored["job"].get(stage) not in known:
            raise UserError(
                f"{record}: of another {stage} network than that of {weights}; submit with --weights {weights}"
            )
    out = pair.detector.parent / "README.md"
    refuse_foreign(out, _is_card, "a card that this command wrote", "choose another folder for the pair")
    write_text(out, views.describe_weights(pair, loaded, read_json(out.with_name(MANIFEST)), scored))
    print(out)


def _is_card(file: Path) -> bool:
    return file.read_bytes().startswith(CARD_HEAD.encode())


def report(
    run: Path | None = None,
    name: str = "",
    results: Path = Path("docs/results"),
    out: Path = Path("docs/results.md"),
) -> None:
    """Write docs/results.md from the results files; with a run, add that to them first.

    Args:
        run: run folder to add to the results
        name: name of that run in the tables
        results: folder of results files
        out: the tables, as Markdown
    """
    if run is not None:
        if not name:
            raise UserError("--run needs --name, what the run is called in the tables")
        if Path(name).name != name:
            raise UserError(f"--name is {name!r}; expected a name without a folder")
        file = results / f"{name}.json"
        refuse_foreign(
            file, lambda file: holds(file, "name", "steps", "submissions"), "results", "choose another --name"
        )
        write_json(file, gather(run, name))
    refuse_foreign(out, _is_report, "a report that this command wrote", "choose another --out")
    write_report(results, out)
    print(out)


def _is_weights(file: Path) -> bool:
    try:
        with safe_open(file, "pt") as opened:
            return {"format", "stage", "schema"} <= (opened.metadata() or {}).keys()
    except SafetensorError:
        return False


def _is_report(file: Path) -> bool:
    return file.read_bytes().startswith(HEAD.splitlines()[0].encode())
