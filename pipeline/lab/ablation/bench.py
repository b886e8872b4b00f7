"""The runs of an ablation, made by the commands that train: what is there is kept, what was interrupted goes on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from garment_keypoints.keypoints.collapse import CollapseError
from garment_keypoints.pipeline import load
from garment_keypoints.pipeline.commands.train_keypoints import BOXES, LEARNED, train_in_boxes, train_keypoints
from garment_keypoints.pipeline.contract.box_kinds import TRUTH
from garment_keypoints.pipeline.contract.boxes import read_matched
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.contract.files import alone, file_hash, when_free
from garment_keypoints.pipeline.contract.formats.boxes import read_margin
from garment_keypoints.pipeline.contract.schema import load_schema
from garment_keypoints.pipeline.data.select import load_training_set
from garment_keypoints.pipeline.engine.validation import NAMED, SHOWN, held_out, score_in_boxes
from garment_keypoints.pipeline.lab.ablation.boxes import in_sample, make_boxes, make_in_sample
from garment_keypoints.pipeline.lab.ablation.costs import MeasuredCosts, measure
from garment_keypoints.pipeline.lab.ablation.definition import IN_SAMPLE, Ablation, Row
from garment_keypoints.pipeline.lab.ablation.known import Known
from garment_keypoints.pipeline.lab.ablation.runs import DONE, PENDING, Outcome, Run
from garment_keypoints.pipeline.lab.ablation.settings import (
    deciding,
    fingerprint,
    of_boxes,
    on_one_device,
    read_of,
    refuse_other_inputs,
)
from garment_keypoints.pipeline.lab.run_tables import DAMAGE
from garment_keypoints.pipeline.learning.placement import device_of, precision
from garment_keypoints.pipeline.runs.claims import refuse_another_make
from garment_keypoints.pipeline.runs.json_files import read_json, write_json
from garment_keypoints.pipeline.runs.provenance import provenance
from garment_keypoints.pipeline.runs.steps import REMEDY, inputs_of, kept, recorded
from garment_keypoints.pipeline.settings import Settings

FIXED = "fixed"
"""The one keypoint network by which the rows of an ablation of the detector are scored."""


@dataclass(frozen=True)
class Bench(ABC):
    """Where an ablation runs: everything that is trained lies in the folder `run`. `annotations` is the rows' fingerprint.

    What is `known` was made elsewhere, and is not made again. `boxes` are given ones, for which no detector is trained.
    """

    ablation: Ablation
    data: tuple[Path, ...]
    run: Path
    limit: int
    annotations: str
    known: Known = field(default_factory=Known)
    boxes: Path | None = None

    def __post_init__(self) -> None:
        """Raise UserError when boxes are given, and a row asks for others."""
        others = [row.name for row in self.ablation.rows if not self.boxes_are_those_of_the_base(row.settings)]
        if self.boxes and (others or self.ablation.stage == "detector"):
            raise UserError(
                f"--boxes is {self.boxes}; expected none, since this ablation trains detectors"
                + (f" (row {others[0]} changes theirs)" if others else "")
            )

    def boxes_are_those_of_the_base(self, settings: Settings) -> bool:
        return of_boxes(asdict(settings)) == of_boxes(asdict(self.ablation.base))

    @abstractmethod
    def make(self, run: Run) -> None:
        """Train and score; raises UserError (CollapseError) when that ends badly, BusyError when another process is at it."""

    @abstractmethod
    def records(self, run: Run) -> list[Path]:
        """Return the records of the run, the one that is written last at the end."""

    @abstractmethod
    def inputs(self, run: Run) -> dict[str, Path | None]:
        """Return the files, by their names in the last record, that the run was made from; None where it needs none."""

    @abstractmethod
    def figures(self, records: Sequence[dict[str, Any]]) -> dict[str, float | None]:
        """Return the figures of a run from its records."""

    @abstractmethod
    def forward(self, run: Run) -> tuple[Any, Callable[..., Any], int]:
        """Return the network to be measured, what runs it, and the side of its pictures."""

    @property
    def notes(self) -> Path:
        return self.run / "studies" / self.ablation.name  # as in run folders of the first release, which go on

    def boxes_folder(self, settings: Settings, name: str) -> Path:
        """Return the run folder of the detectors of these settings: RUN itself for those of the base."""
        if self.boxes_are_those_of_the_base(settings):
            return self.run
        return self.run / "detectors" / name

    def costs(self, row: Row) -> MeasuredCosts | None:
        """Return what was measured of a row with these settings; None where nothing was."""
        file = self.notes / "costs" / f"{row.name}.json"
        known = read_json(file) if file.exists() else {}
        if known.get("settings") != self._measured(row):
            return self.known.costs.get(row.name)
        return MeasuredCosts(known["parameters"], known["flops"], known["images_per_second"], known["machine"])

    def measure(self, run: Run) -> None:
        """Measure the network of a row once."""
        if self.costs(run.row) is None:
            network, forward, size = self.forward(run)
            group = getattr(run.row.settings, self.ablation.stage)
            machine = provenance()["machine"]
            costs = measure(network, forward, size, device_of(group.train), precision(group.train), machine)
            write_json(
                self.notes / "costs" / f"{run.row.name}.json", asdict(costs) | {"settings": self._measured(run.row)}
            )

    def _measured(self, row: Row) -> dict[str, Any]:
        return asdict(getattr(row.settings, self.ablation.stage))


class KeypointsBench(Bench):
    """Every run is a network RUN/keypoints/ROW-seedS, trained without fold 0 and scored on it."""

    def make(self, run: Run) -> None:
        settings, boxes = on_one_device(run.settings), self._boxes(run)
        if not self.boxes:
            base = on_one_device(self.ablation.base)
            shared = replace(base, detector=settings.detector, pictures=settings.pictures)
            make_boxes(shared, self.data, self.run, boxes.parent, self.limit)
            if run.row.boxes == IN_SAMPLE:
                make_in_sample(shared, self.data, boxes.parent, self.limit)
        learned = self._learned(run)
        train_in_boxes(settings, self.data, self.run, self.limit, boxes=boxes, name=run.name, val=True, learned=learned)

    def _boxes(self, run: Run) -> Path:
        return self.boxes or self.boxes_folder(run.settings, fingerprint(run.settings)) / "boxes.csv"

    def _learned(self, run: Run) -> Path | None:
        """Return the boxes that the run learns in, where they are others than those out of fold."""
        if run.row.boxes == IN_SAMPLE:
            return in_sample(self._boxes(run))
        return run.row.folder / run.row.boxes if run.row.boxes else None

    def records(self, run: Run) -> list[Path]:
        return [self.run / "keypoints" / f"{run.name}.json"]

    def inputs(self, run: Run) -> dict[str, Path | None]:
        return {BOXES: self._boxes(run), LEARNED: self._learned(run)}

    def figures(self, records: Sequence[dict[str, Any]]) -> dict[str, float | None]:
        val = records[-1]["figures"]["val"]
        # First come the boxes that the row is to be judged by; a network of whole images has no other figure.
        found, true = next(iter(val.values())), val.get(NAMED[TRUTH], {})
        shown = {name: found[name] for name in SHOWN if name in found}
        return {"ne": found["ne"], "ne_true_boxes": true.get("ne"), **shown, **found["by_category"]}

    def forward(self, run: Run) -> tuple[Any, Callable[..., Any], int]:
        return load.keypoints_forward(load_schema(run.row.settings.schema), run.row.settings.keypoints)


class DetectorBench(Bench):
    """Every run is the detectors and boxes of a run folder RUN/detectors/ROW-seedS, scored by the base's keypoint network."""

    def folder(self, run: Run) -> Path:
        return self.boxes_folder(run.settings, run.name)

    def make(self, run: Run) -> None:
        base = on_one_device(self.ablation.base)
        make_boxes(base, self.data, self.run, self.run, self.limit)
        try:
            when_free(lambda: train_keypoints(base, self.data, self.run, self.limit, name=FIXED, val=True))
        except CollapseError as error:  # not this run's fault
            raise UserError(f"the keypoint network that all rows are scored with: {error}") from None
        settings, folder = on_one_device(run.settings), self.folder(run)
        make_boxes(settings, self.data, self.run, folder, self.limit)
        self._score(settings, folder)

    @property
    def _network(self) -> Path:
        return self.run / "keypoints" / f"{FIXED}.safetensors"

    def _score(self, settings: Settings, folder: Path) -> None:
        """Score the fixed keypoint network in the boxes of a folder."""
        schema = load_schema(settings.schema)
        training_set = load_training_set(
            self.data, schema, settings.folds, folder, self.limit, settings.layout, settings.pictures
        )
        network, boxes, out = self._network, folder / "boxes.csv", folder / f"{FIXED}.csv"
        inputs = inputs_of(training_set) | {"keypoints": file_hash(network), "boxes": file_hash(boxes)}
        with alone(out):
            if kept(out):
                refuse_another_make(out, inputs, "remove it, and it is made again")
                return
            chosen, given = held_out(training_set, read_matched(boxes, training_set.rows, schema))
            margin = read_margin(boxes)
            with recorded(out, settings, self.data, inputs) as record:
                record["figures"] = {"val": score_in_boxes(chosen, given, margin, schema, settings, network, out)}

    def records(self, run: Run) -> list[Path]:
        folder = self.folder(run)
        folds = [folder / "detector" / f"fold{fold}.json" for fold in range(run.row.settings.folds)]
        return [*folds, folder / "boxes.json", folder / f"{FIXED}.json"]

    def inputs(self, run: Run) -> dict[str, Path | None]:
        return {BOXES: self.folder(run) / "boxes.csv", "keypoints": self._network}

    def figures(self, records: Sequence[dict[str, Any]]) -> dict[str, float | None]:
        boxes, scored = (record["figures"]["val"] for record in records[-2:])
        names = ("ap", "ap50", "recall50", "contained_in_square", "ap50_every_garment", "recall_unlabelled")
        measured = {name: boxes[name] for name in names if name in boxes}
        return {"ne": scored["ne"], **measured, **scored["by_category"]}

    def forward(self, run: Run) -> tuple[Any, Callable[..., Any], int]:
        checkpoint = self.folder(run) / "detector" / "fold0.safetensors"
        return load.detector_forward(load_schema(run.row.settings.schema), checkpoint)


BENCHES: dict[str, type[Bench]] = {"keypoints": KeypointsBench, "detector": DetectorBench}
"""By the stage of an ablation."""


def outcome_of(bench: Bench, run: Run) -> Outcome:
    """Read what became of a run. Raises UserError for what is left of a run of the same name with other settings."""
    files = bench.records(run)
    settings = deciding(asdict(run.settings))
    if files[-1].exists():
        records = [read_of(file, settings) for file in files]
        inputs = bench.inputs(run)
        there = {name: one and file_hash(one) for name, one in inputs.items() if one is None or one.exists()}
        refuse_other_inputs(files[-1], records[-1], {"annotations": bench.annotations, **there})
        try:
            return _done(bench.figures(records), records, [name for name in inputs if inputs[name]])
        except DAMAGE as error:
            raise UserError(f"{files[-1]}: not the record of an ablation's run ({error!r}); {REMEDY}") from None
    noted = bench.notes / f"{run.name}.json"
    if noted.exists():
        content = read_of(noted, settings)
        made = {name: content["provenance"][name] for name in ("machine", "commit", "command")}
        return Outcome(content["state"], message=content["message"], **made)
    return bench.known.outcomes.get((run.row.name, run.seed), Outcome(PENDING))


def _done(figures: dict[str, float | None], records: Sequence[dict[str, Any]], inputs: Iterable[str]) -> Outcome:
    made, hashes = records[-1]["provenance"], records[-1]["inputs"]
    return Outcome(
        DONE,
        figures,
        seconds=sum(one["wall_s"] for one in records),
        resumed=any(one["resumed"] for one in records),
        machine=made["machine"],
        commit=made["commit"],
        command=made["command"],
        inputs=", ".join(f"{name} {hashes[name][:8]}" for name in inputs),
    )


def note(bench: Bench, run: Run, state: str, message: str) -> None:
    """Keep what a run ended in that has no result."""
    content = {"state": state, "message": message, "provenance": provenance(), "settings": asdict(run.settings)}
    write_json(bench.notes / f"{run.name}.json", content)
