"""Write the tables of all results."""

from pathlib import Path

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import refuse_foreign
from garment_keypoints.pipeline.lab.run_tables import HEAD, gather, write_report
from garment_keypoints.pipeline.runs.json_files import holds, write_json


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


def _is_report(file: Path) -> bool:
    return file.read_bytes().startswith(HEAD.splitlines()[0].encode())
