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

from pipeline.commands.arguments import call
from pipeline.commands.signals import interruptible
from pipeline.contract.faults import UserError
from pipeline.learning import ranks

VERBS = {
    "sample": "pipeline.commands.data:sample",
    "check": "pipeline.commands.data:check",
    "look": "pipeline.commands.data:look",
    "describe": "pipeline.commands.describe:describe",
    "train-detector": "pipeline.commands.train:train_detector",
    "boxes": "pipeline.commands.boxes:boxes",
    "train-keypoints": "pipeline.commands.train:train_keypoints",
    "pseudo-label": "pipeline.commands.labels:pseudo_label",
    "backgrounds": "pipeline.commands.backgrounds:backgrounds",
    "pseudo-points": "pipeline.commands.teach:pseudo_points",
    "calibrate": "pipeline.commands.calibrate:calibrate",
    "match": "pipeline.commands.match:match",
    "match-matrix": "pipeline.commands.match_matrix:match_matrix",
    "match-remedies": "pipeline.commands.match_remedies:match_remedies",
    "ablate": "pipeline.commands.study:ablate",
    "predict": "pipeline.commands.photos:predict",
    "catalogue": "pipeline.commands.cluster:catalogue",
    "serve": "pipeline.commands.serve:serve",
    "submit": "pipeline.commands.predict:submit",
    "claims": "pipeline.commands.claims:claims",
    "evaluate": "pipeline.commands.score:evaluate",
    "evaluate-val": "pipeline.commands.score_val:evaluate_val",
    "evaluate-photos": "pipeline.commands.score_photos:evaluate_photos",
    "benchmark": "pipeline.commands.benchmark:benchmark",
    "plan-catalogue": "pipeline.commands.plan:plan_catalogue",
    "errors": "pipeline.commands.errors:errors",
    "publish": "pipeline.commands.publish:publish",
    "export": "pipeline.commands.export:export",
    "card": "pipeline.commands.publish:card",
    "report": "pipeline.commands.publish:report",
}
"""The function of each verb. Its parameters are the options, its docstring is the help."""

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
            return 0 if call(VERBS, arguments) in (None, True) else 1
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
