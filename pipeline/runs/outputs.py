"""The files of a step become visible together, its record last."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import alone, file_hash, refuse_foreign
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.runs.json_files import holds, read_json, write_json

RESULT = "result"
"""The stem of the results, which are staged beside their shards before they are published."""


@dataclass(frozen=True)
class Results:
    """The files of a step that become visible together: `out`, others of its stem, and its record, which names them by hash.

    They are written into `folder` first, under the names that `staged` gives. A file that is there already is overwritten
    only when it is the step's own, and as it was written.
    """

    out: Path
    folder: Path
    suffixes: Sequence[str]

    def staged(self, suffix: str) -> Path:
        """Return where to write the file with this suffix before it is published."""
        return self.folder / f"{RESULT}{suffix}"

    def claim(self) -> None:
        """Raise UserError when a file in the way is somebody else's; end a publication that was interrupted."""
        if self.out.suffix != self.suffixes[0]:
            name = f"{self.out.stem}{self.suffixes[0]}"
            raise UserError(f"--out is {self.out}; expected a name in {self.suffixes[0]}, such as {name}")
        if not ranks.is_zero():
            return
        published, waiting = self._named(self.out.with_suffix(".json")), self._named(self.staged(".json"))
        what, remedy = "what this command wrote, or was changed since", "choose another --out"
        for place in map(self.out.with_suffix, self.suffixes):
            known = {named.get(place.name) for named in (published, waiting) if named}
            refuse_foreign(place, lambda file, known=known: file_hash(file) in known, what, remedy)
        refuse_foreign(self.out.with_suffix(".json"), lambda _: published is not None, what, remedy)
        if waiting is not None:
            self._finish(published or {}, waiting)

    def publish(self, record: dict[str, Any], suffixes: Sequence[str]) -> None:
        """Move what was staged with these suffixes to its place, then the record; what was there before goes."""
        record["outputs"] = {self.out.with_suffix(s).name: file_hash(self.staged(s)) for s in suffixes}
        write_json(self.staged(".json"), record)
        self.claim()

    def _finish(self, published: dict[str, str], waiting: dict[str, str]) -> None:
        for name, digest in waiting.items():
            place, staged = self.out.with_name(name), self.staged(Path(name).suffix)
            if staged.exists() and file_hash(staged) == digest:
                os.replace(staged, place)
            elif not (place.exists() and file_hash(place) == digest):  # changed since: it has to be made again
                self.staged(".json").unlink()
                return
        for name in published.keys() - waiting.keys():
            self.out.with_name(name).unlink(missing_ok=True)
        os.replace(self.staged(".json"), self.out.with_suffix(".json"))

    def _named(self, record: Path) -> dict[str, str] | None:
        """Return the hashes by name that a record of this step holds; None where there is no such record."""
        outputs = read_json(record)["outputs"] if holds(record, "provenance", "outputs") else None
        names = {self.out.with_suffix(suffix).name for suffix in self.suffixes}
        return outputs if isinstance(outputs, dict) and outputs.keys() <= names else None


def alone_at_out(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command write what its option `out` names as the only process that does."""

    @wraps(command)
    def run(*named: Any, **options: Any) -> Any:
        with alone(options["out"], "choose another --out", enabled=ranks.is_zero()):
            return command(*named, **options)

    return run
