"""Run one verb: parse, call, report errors as one line."""

import errno
import logging
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence

from garment_keypoints.pipeline.cli.usage import UsageError, program
from garment_keypoints.pipeline.cli.verbs import LAB, find_verb, laboratory_overview, overview
from garment_keypoints.pipeline.contract.faults import UserError
from garment_keypoints.pipeline.learning import ranks
from garment_keypoints.pipeline.runs.signals import interruptible

from garment_keypoints import __version__

ELSEWHERE = "choose another folder"
REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free space, or choose another folder")
REMEDIES |= dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST), ELSEWHERE)
REMEDIES |= {errno.ENOENT: "check the path", errno.EISDIR: "name a file, not a folder"}
WORKER = "DataLoader worker (pid"
"""How torch's message begins when a process that reads pictures was killed from outside."""
MEMORY = "Mostly the system was out of memory: give fewer --workers, and run the same command again."
HELP = ("--help", "-h", "help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status.

    0 on success, 1 for faulty input or output, 2 for a wrong command line, 130 after Ctrl-C, 143 after SIGTERM.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the network when it is imported
    logging.basicConfig(level=logging.INFO if ranks.is_zero() else logging.ERROR, format="%(message)s")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    with interruptible() as received:
        try:
            return 0 if dispatch(arguments) in (None, True) else 1
        except ranks.OtherRank:
            return 0
        except KeyboardInterrupt:
            return _interrupted(received())
        except OSError as error:
            print(f"error: {_with_remedy(error)}", file=sys.stderr)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2 if isinstance(error, UsageError) else 1
        except Exception as error:
            if (
                received()
            ):  # a signal to all of a command's processes ends its workers too, and their end raises something else
                return _interrupted(received())
            if str(error).startswith(WORKER):
                print(f"error: {error} {MEMORY}", file=sys.stderr)
                return 1
            traceback.print_exc()
            print(
                f"this is a fault of the program; please report it with the lines above, the command "
                f"`{program()} {shlex.join(arguments)}` and the version {__version__}",
                file=sys.stderr,
            )
    return 1


def _interrupted(number: int) -> int:
    print("interrupted; the same command goes on from here", file=sys.stderr)
    return 128 + (number or signal.SIGINT)


def dispatch(words: list[str]) -> object:
    """Call what the words name: a verb, one of the laboratory, the list of verbs, or the version."""
    laboratory = words[:1] == [LAB]
    words = words[1:] if laboratory else words
    if not words:
        raise UsageError(f"name a verb; `{program()}{f' {LAB}' if laboratory else ''} --help` lists them")
    if words[0] in HELP:
        print(laboratory_overview() if laboratory else overview())
        return None
    if words[0] == "--version":
        print(program(), __version__)
        return None
    path = find_verb(words[0], laboratory)
    from garment_keypoints.pipeline.cli.arguments import call  # importing what reads options takes longer than the help

    return call(words[0], path, words[1:], laboratory)


def _with_remedy(error: OSError) -> str:
    """Say what to do about an error that has a number; a failed download, say, has none."""
    place = f"{error.filename}: " if error.filename else ""
    remedy = REMEDIES.get(error.errno or 0)
    return f"{place}{error.strerror or error}" + (f"; {remedy}" if remedy else "")
