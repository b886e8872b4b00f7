"""The command line: python -m pipeline VERB, or garment-keypoints VERB. Thin: parse, call, report errors as one line."""

import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

VERBS = {
    "sample": "draw a dataset of garments with exactly known points",
    "check": "report all faults of a dataset at once",
    "look": "draw what the loaders really yield, as contact sheets",
    "train-detector": "train stage 1: one detector a fold, and the final one",
    "boxes": "predict the boxes of the training images, out of fold",
    "train-keypoints": "train stage 2 on those boxes",
    "submit": "predict a test folder with both stages",
    "evaluate": "score a submission",
    "export": "copy a checkpoint with float16 weights, to be published",
    "report": "write docs/results.md from the results files",
}
GROUPS = {
    "sample": "data",
    "check": "data",
    "look": "data",
    "train-detector": "train",
    "boxes": "train",
    "train-keypoints": "train",
    "submit": "predict",
    "evaluate": "score",
    "export": "publish",
    "report": "publish",
}
"""The file under pipeline/commands/ that holds a verb."""


def _settings(parser: ArgumentParser) -> None:
    """Options that presets in configs/ set: both stages, folds, schema."""
    from pipeline.assemble import DetectorConfig, KeypointsConfig

    parser.add_argument("--config", action="config", help="preset or experiment, a YAML file such as configs/cpu.yaml")
    parser.add_class_arguments(DetectorConfig, "detector")
    parser.add_class_arguments(KeypointsConfig, "keypoints")
    parser.add_argument("--folds", type=int, default=2, help="detectors for out-of-fold boxes")
    _schema(parser)


def _schema(parser: ArgumentParser) -> None:
    parser.add_argument("--schema", type=str, default="fashionai", help="packaged schema, or a YAML file of your own")


def _data(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="train roots: Annotations/*.csv and Images/"
    )
    parser.add_argument("--run", type=Path, required=True, help="run folder; holds everything that is trained")
    parser.add_argument("--limit", type=int, default=0, help="rehearse on so many images (0: all)")


def _sample(parser: ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="new folder; gets train/ and test/")
    parser.add_argument("--train", type=int, default=400, help="training images")
    parser.add_argument("--test", type=int, default=100, help="test images")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same pictures")
    parser.add_argument("--size", type=int, default=384, help="longer side of a picture in pixels")


def _check(parser: ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="train roots")
    parser.add_argument("--test", type=Path, default=None, help="folder with test.csv")
    parser.add_argument("--answers", type=Path, default=None, help="answers of the test folder")
    _schema(parser)


def _look(parser: ArgumentParser) -> None:
    _settings(parser)
    _data(parser)
    parser.add_argument("--stage", type=str, choices=("detector", "keypoints"), required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for the contact sheets")


def _train_detector(parser: ArgumentParser) -> None:
    _settings(parser)
    _data(parser)
    parser.add_argument("--only", type=str, default="", help="train just this one, such as fold0 or final")


def _train(parser: ArgumentParser) -> None:
    _settings(parser)
    _data(parser)


def _submit(parser: ArgumentParser) -> None:
    parser.add_argument("--test", type=Path, required=True, help="folder with test.csv and Images/")
    parser.add_argument("--detector", type=Path, required=True, help="detector checkpoint")
    parser.add_argument("--keypoints", type=Path, required=True, help="keypoint checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="submission CSV; scores and pictures go beside it")
    parser.add_argument("--answers", type=Path, default=None, help="answer CSV, to score the submission")
    parser.add_argument(
        "--boxes", type=str, choices=("detector", "truth", "image"), default="detector",
        help="where crops come from: the detector, the answers, or the whole image (to compare)",
    )  # fmt: skip
    parser.add_argument("--flip_test", type=bool, default=True, help="average over each crop and its mirror image")
    parser.add_argument("--limit", type=int, default=0, help="rehearse on so many images (0: all)")
    parser.add_argument("--batch_size", type=int, default=16, help="images a step and device")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode images")
    parser.add_argument("--accelerator", type=str, default="auto", help="Lightning's accelerator: auto, cpu, gpu ...")
    parser.add_argument("--devices", type=str, default="auto", help="auto, a number, or a list such as 0,1")
    parser.add_argument(
        "--precision", type=str, default="auto", help="Lightning's precision; auto: bf16 on GPUs that can"
    )
    _schema(parser)


def _evaluate(parser: ArgumentParser) -> None:
    parser.add_argument("--submission", type=Path, required=True, help="submission CSV")
    parser.add_argument("--answers", type=Path, required=True, help="answer CSV")
    parser.add_argument(
        "--variant", type=str, default="default", help="default (visible points) or round1 (leaderboard)"
    )
    parser.add_argument("--json", type=Path, default=None, help="write the figures there as well")
    parser.add_argument("--at-most", type=float, default=None, help="exit with 1 when NE is above so many percent")
    _schema(parser)


def _export(parser: ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, required=True, help="trained network of either stage")
    parser.add_argument("--out", type=Path, required=True, help="new file, .safetensors")
    parser.add_argument("--float16", type=bool, default=True, help="weights in float16: half the size")


def _report(parser: ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, default=None, help="run folder to add to the results first")
    parser.add_argument("--name", type=str, default="", help="name of that run in the tables")
    parser.add_argument("--results", type=Path, default=Path("docs/results"), help="folder of results files")
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"), help="the tables, as Markdown")


_OPTIONS: dict[str, Callable[[ArgumentParser], None]] = {
    "sample": _sample,
    "check": _check,
    "look": _look,
    "train-detector": _train_detector,
    "boxes": _train,
    "train-keypoints": _train,
    "submit": _submit,
    "evaluate": _evaluate,
    "export": _export,
    "report": _report,
}


def build_parser() -> ArgumentParser:
    """Build the parser of all verbs; options of both stages come from their config dataclasses."""
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog="python -m pipeline", description="Key points of garments in photos, in two stages.")
    verbs = parser.add_subcommands(dest="verb", required=True)
    for name, description in VERBS.items():
        sub = ArgumentParser(description=description[0].upper() + description[1:] + ".")
        _OPTIONS[name](sub)
        verbs.add_subcommand(name, sub, help=description)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 on success, 1 for faulty input or output, 130 after Ctrl-C."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = build_parser()
    parsed = parser.parse_args(arguments)
    try:
        return _run(parser.instantiate(parsed))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}; free space, or choose another folder", file=sys.stderr)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


def _run(parsed: Namespace) -> int:
    from pipeline.assemble import Settings

    # Lightning sets its own level when it is imported, and then advertises.
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    options: dict[str, Any] = dict(vars(parsed[parsed.verb]))
    options.pop("config", None)
    if "folds" in options:
        names = ("detector", "keypoints", "folds", "schema")
        options["settings"] = Settings(**{name: options.pop(name) for name in names})
    group = importlib.import_module(f"pipeline.commands.{GROUPS[parsed.verb]}")
    ok = getattr(group, parsed.verb.replace("-", "_"))(**options)
    return 0 if ok in (None, True) else 1


if __name__ == "__main__":
    sys.exit(main())
