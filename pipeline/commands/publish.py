"""Verbs that publish: weights to be shared, and the tables of all results."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from pipeline.contract.faults import UserError
from pipeline.contract.files import refuse_foreign
from pipeline.learning.pairs import FILES, MANIFEST, is_manifest, publish_pair
from pipeline.reporting.records import holds, provenance, write_json
from pipeline.reporting.tables import HEAD, gather, write_report


def publish(detector: Path, keypoints: Path, out: Path, terms: str, float16: bool = True) -> None:
    """Make a pair of weights to be shared: both networks in the present format and in float16, and their hashes.

    Args:
        detector: detector checkpoint
        keypoints: keypoint checkpoint
        out: folder of the pair, named like it
        terms: what others may do with the weights, and what they were made from, in one sentence
        float16: weights in float16, half the size
    """
    files = [out / name for name in FILES.values()]
    for file in files:
        refuse_foreign(file, _is_weights, "a file of weights", "choose another --out")
    refuse_foreign(out / MANIFEST, is_manifest, "a list that this command wrote", "choose another --out")
    about = {"terms": terms, "provenance": provenance()}
    publish_pair({"detector": detector, "keypoints": keypoints}, out, about, float16)
    for file in files:
        print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


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
