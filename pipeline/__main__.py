"""The command line: python -m pipeline VERB, or garment-keypoints VERB. Thin: parse, call, report errors as one line."""

import errno
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from pipeline.cli.arguments import call
from pipeline.contract.faults import UserError
from pipeline.learning import ranks
from pipeline.runs.signals import interruptible

VERBS = {
    "sample": "pipeline.commands.sample:sample",
    "check": "pipeline.commands.check:check",
    "look": "pipeline.commands.look:look",
    "describe": "pipeline.commands.describe:describe",
    "train-detector": "pipeline.commands.train_detector:train_detector",
    "boxes": "pipeline.commands.boxes:boxes",
    "train-keypoints": "pipeline.commands.train_keypoints:train_keypoints",
    "calibrate": "pipeline.commands.calibrate:calibrate",
    "predict": "pipeline.commands.predict:predict",
    "catalogue": "pipeline.commands.catalogue:catalogue",
    "serve": "pipeline.commands.serve:serve",
    "submit": "pipeline.commands.submit:submit",
    "evaluate": "pipeline.commands.evaluate:evaluate",
    "evaluate-val": "pipeline.commands.evaluate_val:evaluate_val",
    "evaluate-photos": "pipeline.commands.evaluate_photos:evaluate_photos",
    "benchmark": "pipeline.commands.benchmark:benchmark",
    "errors": "pipeline.commands.errors:errors",
    "publish": "pipeline.commands.publish:publish",
    "export": "pipeline.commands.export:export",
    "card": "pipeline.commands.card:card",
    "ablate": "pipeline.lab.commands.ablate:ablate",
}
"""The function of each verb. Its parameters are the options, its docstring is the help."""
LABORATORY = {
    "pseudo-points": "pipeline.lab.commands.pseudo_points:pseudo_points",
    "pseudo-label": "pipeline.lab.commands.pseudo_label:pseudo_label",
    "backgrounds": "pipeline.lab.commands.backgrounds:backgrounds",
    "report": "pipeline.lab.commands.report:report",
    "match": "pipeline.lab.commands.match:match",
    "match-matrix": "pipeline.lab.commands.match_matrix:match_matrix",
}
"""Those of `lab VERB`."""

PROGRAM = "python -m pipeline"
ELSEWHERE = "choose another folder"
REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free space, or choose another folder")
REMEDIES |= dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST), ELSEWHERE)
REMEDIES |= {errno.ENOENT: "check the path", errno.EISDIR: "name a file, not a folder"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; 0 on success, 1 for faulty input or output, 130 after Ctrl-C, 143 after SIGTERM."""
    logging.basicConfig(level=logging.INFO if ranks.is_zero() else logging.ERROR, format="%(message)s")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    with interruptible() as received:
        try:
            return 0 if _call(arguments) in (None, True) else 1
        except ranks.OtherRank:
            return 0
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from here", file=sys.stderr)
            return 128 + received() if received() else 130
        except OSError as error:
            print(f"error: {_with_remedy(error)}", file=sys.stderr)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
        except Exception:
            traceback.print_exc()
            print(
                f"this is a fault of the program; please report it with the lines above, the command "
                f"`python -m pipeline {shlex.join(arguments)}` and the version {_version()}",
                file=sys.stderr,
            )
    return 1


def _call(arguments: Sequence[str]) -> object:
    if arguments[:1] == ["lab"]:
        return call(LABORATORY, arguments[1:], f"{PROGRAM} lab")
    return call(VERBS, arguments, PROGRAM)


def _version() -> str:
    """Return the version that was installed; a copy that only lies there has none to tell."""
    try:
        return version("garment-keypoints")
    except PackageNotFoundError:
        return "of a copy that is not installed"


def _with_remedy(error: OSError) -> str:
    """Say what to do about an error that has a number; a failed download, say, has none."""
    place = f"{error.filename}: " if error.filename else ""
    remedy = REMEDIES.get(error.errno or 0)
    return f"{place}{error.strerror or error}" + (f"; {remedy}" if remedy else "")


if __name__ == "__main__":
    sys.exit(main())
