"""Verbs that publish: weights to be shared, and the tables of all results."""

from pathlib import Path

from pipeline.contract.faults import UserError
from pipeline.learning.weights import export_checkpoint
from pipeline.reporting.records import provenance, write_json
from pipeline.reporting.tables import gather, write_report


def export(checkpoint: Path, out: Path, float16: bool = True) -> None:
    """Copy a checkpoint of any format into the present one, with float16 weights, to be published.

    Args:
        checkpoint: trained network of either stage
        out: new file, .safetensors
        float16: weights in float16, half the size
    """
    if out.suffix != ".safetensors":
        raise UserError(f"--out is {out}; weights are written as safetensors, name it {out.stem}.safetensors")
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
        write_json(results / f"{name}.json", gather(run, name))
    write_report(results, out)
    print(out)
