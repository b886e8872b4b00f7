"""The properties of a garment and of its points: one table, by which every file, the API and the page are written.

A property is one `Column`: its name, how it is read from a garment, its type, unit and decimals, and where it appears. A module
of your own adds one with `register`, or is named on the command line (`predict --columns mine:columns`); no writer is edited.
COCO and YOLO keep category, box, score and points in fields of their own; further columns become COCO's `attributes`, and a
YOLO label has no place for them.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.plugins import load_object
from garment_keypoints.pipeline.contract.schema import Schema

if TYPE_CHECKING:
    from garment_keypoints.pipeline.contract.garments import Garment

JSON, CSV, COCO, PARQUET, PAGE = PLACES = ("json", "csv", "coco", "parquet", "page")
"""Lines of predictions.jsonl (with them `to_dict` and what the server answers), garments.csv, the attributes of COCO results,
the Parquet files of catalogues, and what the page shows."""
POINTS = "points"
PIXELS = 2
"""Decimals of pixels in what is written; a hundredth of one is nothing that anyone sees."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")
RESERVED = ("id", "uri", "photo", "width", "height", "garment", "error", "attributes")
"""What stands beside the columns in some file."""
KINDS = (float, int, str, bool)


@dataclass(frozen=True)
class Group:
    """Named values of a garment, such as its points: one or several columns that have a value for each of the `names`.

    `item` is what a name is called where each has a row: a point is of a `keypoint`. A file is written while garments come, so
    `names` says all names of a schema beforehand; a garment has those for which some column has a value.
    """

    name: str
    item: str
    names: Callable[[Schema], Sequence[str]]


@dataclass(frozen=True)
class Column:
    """A property of a garment or, with a `group`, of each of its points, measurements ...

    `read` takes the garment and the schema, and gives a value of the type `kind` (float, int, str, bool); with `parts` as many
    of them as there are parts, in a group as many as the group has names. None and NaN are no value. Numbers are rounded to
    `digits` when they are written, `unit` is for readers, and `places` are some of PLACES.
    """

    name: str
    read: "Callable[[Garment, Schema], Any]"
    group: str = ""
    kind: type = float
    unit: str = ""
    digits: int = 4
    parts: tuple[str, ...] = ()
    places: Sequence[str] = field(default=PLACES)

    @property
    def key(self) -> str:
        """What the column is called among all: `aspect`, or `points.sigma` in a group."""
        return f"{self.group}.{self.name}" if self.group else self.name

    @property
    def flat(self) -> tuple[str, ...]:
        """Its names in a table, where a value of several parts has several columns."""
        return self.parts or (self.name,)


FILES = (JSON, CSV, PARQUET)
BUILT_IN = (
    Column("category", lambda one, schema: one.category, kind=str, places=FILES),
    Column("score", lambda one, schema: one.score, places=FILES),
    Column("box", lambda one, schema: one.box, unit="px", digits=PIXELS, parts=("x0", "y0", "x1", "y1"), places=FILES),
    Column("x", lambda one, schema: one.xy[:, 0], POINTS, unit="px", digits=PIXELS, places=FILES),
    Column("y", lambda one, schema: one.xy[:, 1], POINTS, unit="px", digits=PIXELS, places=FILES),
    Column("score", lambda one, schema: one.point_score, POINTS, places=FILES),
    Column(
        "expected_error", lambda one, schema: one.expected_error, POINTS, unit="garment widths", places=(JSON, PARQUET)
    ),
    Column("visible", lambda one, schema: one.visible, POINTS, digits=3, places=(JSON, PARQUET)),
)
"""Those that every garment has. COCO's fields, YOLO's and the page's drawing show them in ways of their own."""
GROUPS = {POINTS: Group(POINTS, "keypoint", lambda schema: schema.keypoints)}
ADDED: dict[str, Column] = {}
"""Columns that were registered, by key."""


def register(one: Column | Group) -> None:
    """Add a column, or a group for columns, to everything that is written from now on; what is there already is left.

    Raises UserError for one that does not fit.
    """
    if isinstance(one, Group):
        if GROUPS.get(one.name) != one:
            _check_group(one)
            GROUPS[one.name] = one
    elif ADDED.get(one.key) != one:
        _check(one)
        ADDED[one.key] = one


def register_named(name: str, schema: Schema) -> None:
    """Add the column, or the columns, that MODULE:OBJECT names; an empty name adds none. Raises UserError for what is none."""
    if not name:
        return
    named = load_object(name, "--columns")
    every = [named] if isinstance(named, Column) else list(named) if isinstance(named, Iterable) else []
    if not every or not all(isinstance(one, Column | Group) for one in every):
        kind = type(named).__name__
        raise UserError(
            f"--columns {name}: of type {kind}; expected a Column of garment_keypoints.pipeline.contract.outputs, or a list of "
            "Columns and Groups"
        )
    for one in every:
        register(one)
    header(schema)


def added_names() -> dict[str, list[str]]:
    """Return what a job is to remember of the columns: nothing, or the keys of those that were added."""
    return {"columns": sorted(ADDED)} if ADDED else {}


def columns(place: str, group: str = "") -> list[Column]:
    """Return the columns of a place, of garments or of a group, in the order in which they are written."""
    return [one for one in (*BUILT_IN, *ADDED.values()) if place in one.places and one.group == group]


def groups(place: str) -> list[Group]:
    """Return the groups that have a column in a place."""
    return [one for one in GROUPS.values() if columns(place, one.name)]


def header(schema: Schema, place: str = CSV) -> list[str]:
    """Return the names of a table's columns. Raises UserError when two are called the same."""
    names = [name for column in columns(place) for name in column.flat]
    for group in groups(place):
        own = columns(place, group.name)
        names += [f"{name}_{column.name}" for name in group.names(schema) for column in own]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"two columns are called {twice[0]!r} in a table of {schema.name}; give the added one another name"
        )
    return names


def _check_group(group: Group) -> None:
    taken = {*RESERVED, *GROUPS} | {one.name for one in (*BUILT_IN, *ADDED.values())}
    names = (group.name, group.item)
    if not all(isinstance(name, str) and NAME.fullmatch(name) for name in names) or group.name in taken:
        raise UserError(f"group {group.name!r} of {group.item!r}: no name, or one that is taken; choose another one")


def _check(column: Column) -> None:
    """Refuse a column whose name is taken or none, or whose type, group or places nobody knows."""
    others = (*BUILT_IN, *ADDED.values())
    taken = {one.key for one in others} | {name for one in others if not one.group for name in one.flat}
    if not column.group:
        taken |= {*RESERVED, *GROUPS}
    elif column.group in GROUPS:
        taken.add(f"{column.group}.{GROUPS[column.group].item}")
    where = f"column {column.key!r}"
    if not all(isinstance(name, str) and NAME.fullmatch(name) for name in (column.name, *column.parts)):
        raise UserError(f"{where}: names are {column.flat}; expected letters, digits and _, beginning with a letter")
    if column.key in taken or {*column.parts} & taken:
        raise UserError(f"{where} stands there already, or its name is reserved; choose another one")
    if column.group and (column.group not in GROUPS or column.parts):
        raise UserError(f"{where}: group {column.group!r}; expected one of {', '.join(GROUPS)}, and no parts in it")
    if column.kind not in KINDS or not callable(column.read):
        kinds = ", ".join(one.__name__ for one in KINDS)
        raise UserError(
            f"{where}: kind is {column.kind!r}, read {column.read!r}; expected one of {kinds}, and a function"
        )
    if isinstance(column.places, str) or not set(column.places) <= {*PLACES}:
        raise UserError(f"{where}: places are {column.places!r}; expected a list of some of {', '.join(PLACES)}")
