"""A catalogue: a manifest of photos, Parquet or CSV, and the Parquet files of what was found in them, a row a garment.

The manifest has the columns id and uri, and may have category. A uri is a path (relative to the manifest), or anything that
fsspec opens: s3://..., tar://member.jpg::file.tar. Needs pyarrow (extra `catalogue`).
"""

from collections.abc import Iterable, Iterator, Sequence
from csv import reader as csv_reader
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import write_bytes
from garment_keypoints.pipeline.contract.garment_values import flat_cells, plain
from garment_keypoints.pipeline.contract.garments import PhotoResult
from garment_keypoints.pipeline.contract.outputs import PARQUET, columns, groups
from garment_keypoints.pipeline.contract.schema import Schema

ID, URI, CATEGORY = "id", "uri", "category"
JOB = b"garment_keypoints_job"
"""In a Parquet file's metadata: what decided its rows."""
STEP = 1000
"""Rows of a CSV that are read together."""


@dataclass(frozen=True)
class Entry:
    """A photo of a manifest; `category` is empty where the manifest says none."""

    id: str
    uri: str
    category: str = ""


@dataclass(frozen=True)
class Manifest:
    """A manifest by its file; entries are read as they are asked for, so that it may be of any length."""

    file: Path

    def __len__(self) -> int:
        return self._parquet_rows() if self._parquet else self._index[0]

    def entries(self, first: int, last: int, schema: Schema) -> list[Entry]:
        """Return the entries from `first` up to, without, `last`; raise UserError for a faulty one, by its row."""
        found: list[Entry] = []
        for start, table in self._tables(first, last):
            columns = table.to_pydict()
            category = columns.get(CATEGORY) or [None] * table.num_rows
            for number, values in enumerate(zip(columns[ID], columns[URI], category, strict=True), start=start):
                if first <= number < last:
                    found.append(self._entry(number, values, schema))
        return found

    def refuse_repeated_ids(self) -> None:
        """Raise UserError when two rows, of whichever shards, have one id; some twenty bytes a row are held meanwhile."""
        from pandas.util import (
            hash_array,
        )  # here, since predicting photos does without pandas, which takes half a second

        texts = (
            np.array([str(one) for one in table[ID].to_pylist()], object) for _, table in self._tables(0, len(self))
        )
        hashes = np.concatenate([hash_array(one, categorize=False) for one in texts])
        order = np.argsort(hashes, kind="stable")
        again = np.flatnonzero(np.diff(hashes[order]) == 0)
        if len(again):
            first, second = sorted(order[again[0] : again[0] + 2].tolist())
            raise UserError(f"{self.file}: rows {first} and {second} have one id; ids name results, expected one a row")

    @property
    def _parquet(self) -> bool:
        return self.file.suffix.lower() in (".parquet", ".pq")

    def _tables(self, first: int, last: int) -> Iterator[tuple[int, Any]]:
        """Yield the tables that hold these rows, each with the number of its first row."""
        try:
            yield from self._parquet_tables(first, last) if self._parquet else self._csv_tables(first, last)
        except UserError:
            raise
        except Exception as error:  # a damaged file leads pyarrow to errors of many kinds
            raise UserError(f"--manifest {self.file}: cannot be read ({error}); expected Parquet or CSV") from None

    def _parquet_tables(self, first: int, last: int) -> Iterator[tuple[int, Any]]:
        start = 0
        with _pyarrow("parquet").ParquetFile(self.file) as content:
            names = self._columns(content.schema_arrow.names)
            for group in range(content.metadata.num_row_groups):
                rows = content.metadata.row_group(group).num_rows
                if start < last and start + rows > first:
                    yield start, content.read_row_group(group, columns=names)
                start += rows

    def _parquet_rows(self) -> int:
        with _pyarrow("parquet").ParquetFile(self.file) as content:
            return content.metadata.num_rows

    def _csv_tables(self, first: int, last: int) -> Iterator[tuple[int, Any]]:
        """Yield the blocks of STEP rows that hold these rows; of the file nothing else is read."""
        csv, names = _pyarrow("csv"), self._columns(self._header())
        options = csv.ConvertOptions(include_columns=names, column_types=dict.fromkeys(names, "string"))
        count, places = self._index
        with self.file.open("rb") as content:
            header = content.read(places[0])
            for block in range(first // STEP, min(-(-last // STEP), len(places) - 1)):
                start = block * STEP
                content.seek(places[block])
                lines = header + content.read(places[block + 1] - places[block])
                try:
                    table = csv.read_csv(BytesIO(lines), convert_options=options)
                    if table.num_rows != min(STEP, count - start):
                        raise ValueError("a line is no row")
                except ValueError as error:  # also of pyarrow's own
                    raise UserError(
                        f"{self.file}: not a CSV of {ID},{URI} from row {start} on ({error}); expected UTF-8 with a header row, "
                        "and a line a row"
                    ) from None
                yield start, table

    @cached_property
    def _index(self) -> tuple[int, list[int]]:
        """How many rows a CSV has, and where in the file each STEP-th begins and the last ends: read once, parsed nowhere."""
        rows, at, places = -1, 0, []
        with self.file.open("rb") as lines:
            for line in lines:
                if b"\r" in line.rstrip(b"\r\n"):
                    raise UserError(
                        f"{self.file}: row {rows + 1} holds a CR; expected a line a row, with LF or CR LF at its end"
                    )
                if line.strip():
                    if rows >= 0 and rows % STEP == 0:
                        places.append(at)
                    rows += 1
                at += len(line)
        return max(0, rows), [*places, at]

    def _header(self) -> list[str]:
        with self.file.open(encoding="utf-8-sig", newline="") as lines:
            return next(csv_reader(lines), [])

    def _columns(self, names: Sequence[str]) -> list[str]:
        for name in (ID, URI, CATEGORY):
            count = list(names).count(name)
            if count > 1 or (count == 0 and name != CATEGORY):
                fault = f"column {name!r} stands {count} times" if count else f"no column {name!r}"
                raise UserError(f"{self.file}: {fault}; expected {ID}, {URI}, and perhaps {CATEGORY}, once each")
        return [name for name in (ID, URI, CATEGORY) if name in names]

    def _entry(self, number: int, values: tuple[Any, Any, Any], schema: Schema) -> Entry:
        name, uri, category = values
        if name in (None, "") or uri in (None, ""):
            raise UserError(f"{self.file}: row {number}: id is {name!r}, uri {uri!r}; expected both")
        if category not in (None, "", *schema.categories):
            expected = ", ".join(schema.categories)
            raise UserError(f"{self.file}: row {number}: category is {category!r}; expected one of {expected}, or none")
        return Entry(str(name), str(uri), category or "")


def open_manifest(file: Path) -> Manifest:
    """Raises UserError for a file that is no manifest, as far as its beginning tells."""
    if not file.is_file():
        raise UserError(f"--manifest {file}: no such file; expected Parquet or CSV with the columns {ID}, {URI}")
    manifest = Manifest(file)
    if next(iter(manifest._tables(0, 1)), None) is None:
        raise UserError(f"--manifest {file}: no row in it; expected a photo a row")
    return manifest


def write_found(file: Path, entries: Sequence[Entry], results: Sequence[PhotoResult], job: str, schema: Schema) -> None:
    """Write a row a garment; a photo without any, or that could not be read, has one row that says so."""
    rows = [row for entry, result in zip(entries, results, strict=True) for row in _rows(entry, result, schema)]
    pa = _pyarrow()
    table = pa.Table.from_pylist(rows, schema=_arrow_schema(pa, job))
    sink = pa.BufferOutputStream()
    _pyarrow("parquet").write_table(table, sink, compression="zstd")
    write_bytes(file, sink.getvalue().to_pybytes())


def join_found(file: Path, parts: Sequence[Path]) -> None:
    """Write the rows of several such files into one, in their order."""
    pa, parquet = _pyarrow(), _pyarrow("parquet")
    sink = pa.BufferOutputStream()
    tables = [parquet.read_table(part) for part in parts]
    parquet.write_table(pa.concat_tables(tables), sink, compression="zstd")
    write_bytes(file, sink.getvalue().to_pybytes())


def any_read(files: Iterable[Path]) -> bool:
    """Tell whether files of results have a photo that could be read."""
    return any(_pyarrow("parquet").read_table(file, columns=["error"])["error"].null_count for file in files)


def count_found(file: Path) -> tuple[int, int, int]:
    """Return how many photos, garments, and photos that could not be read a file of results has."""
    columns = _pyarrow("parquet").read_table(file, columns=[ID, "garment", "error"]).to_pydict()
    garments = sum(one is not None for one in columns["garment"])
    return len(set(columns[ID])), garments, sum(one is not None for one in columns["error"])


def _rows(entry: Entry, result: PhotoResult, schema: Schema) -> Iterator[dict[str, Any]]:
    own = {ID: entry.id, URI: entry.uri, "garment": None}
    if result.error:
        yield own | {"error": result.error}
        return
    own |= {"width": result.size_wh[0], "height": result.size_wh[1]}
    garments = [one for one in result.garments if entry.category in ("", one.category)]
    if not garments:
        yield own
    for number, one in enumerate(garments):
        values = plain(one, schema, PARQUET)
        lists = {
            group.name: [{group.item: name, **row} for name, row in values.get(group.name, {}).items()]
            for group in groups(PARQUET)
        }
        yield own | {"garment": number, **dict(flat_cells(values, PARQUET)), **lists}


def _arrow_schema(pa: Any, job: str) -> Any:
    types = {float: pa.float32(), int: pa.int64(), str: pa.string(), bool: pa.bool_()}
    fields = [(ID, pa.string()), (URI, pa.string()), ("width", pa.int32()), ("height", pa.int32())]
    fields += [("garment", pa.int32())]
    fields += [(name, types[column.kind]) for column in columns(PARQUET) for name in column.flat]
    for group in groups(PARQUET):
        own = [(column.name, types[column.kind]) for column in columns(PARQUET, group.name)]
        fields += [(group.name, pa.list_(pa.struct([(group.item, pa.string()), *own])))]
    return pa.schema([*fields, ("error", pa.string())], metadata={JOB: job.encode()})


def _pyarrow(module: str = "") -> Any:
    """Import pyarrow, which is no part of the plain installation."""
    try:
        import pyarrow
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise UserError("a manifest needs pyarrow: pip install 'garment-keypoints[catalogue]'") from None
    return getattr(pyarrow, module) if module else pyarrow
