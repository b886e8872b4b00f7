"""Verbs that publish: weights to be shared, and the tables of all results."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from pipeline.contract.faults import UserError
from pipeline.contract.files import refuse_foreign
from pipeline.learning.weights import export_checkpoint
from pipeline.reporting.records import holds, provenance, write_json
from pipeline.reporting.tables import HEAD, gather, write_report


def export(checkpoint: Path, out: Path, float16: bool = True) -> None:
    """Copy a checkpoint of any format into the present one, with float16 weights, to be published.

    Args:
        checkpoint: trained network of either stage
        out: new file, .safetensors
        float16: weights in float16, half the size
    """
    if out.suffix != ".safetensors":
        raise UserError(f"--out is {out}; weights are written as safetensors, name it {out.stem}.safetensors")
    if out.exists() and checkpoint.exists() and out.samefile(checkpoint):
        raise UserError(f"--out is {out}, the checkpoint itself; choose another --out")
    refuse_foreign(out, _is_weights, "a file of weights", "choose another --out")
    export_checkpoint(checkpoint, out, provenance(), float16)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


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
