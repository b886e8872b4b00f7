"""Objects of a user's own module, which the command line names as MODULE:OBJECT."""

import importlib
import os
import re
import sys
from typing import Any

from garment_keypoints.pipeline.contract.faults import UserError

NAME = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")


def load_object(name: str, option: str) -> Any:
    """Return the object that `name`, such as mine:columns, names; its module lies in the current folder or in the environment.

    `option` is what asked for it, as messages call it. Raises UserError for a name of another form, a module that is not there
    or fails while it is imported, and an object that it does not have.
    """
    where = f"{option} {name}"
    found = NAME.fullmatch(name)
    if not found:
        raise UserError(f"{where}: expected MODULE:OBJECT, such as mine:columns for `columns` in mine.py")
    module_name, attribute = found.groups()
    module = _module(module_name, where)
    if not hasattr(module, attribute):
        others = ", ".join(one for one in vars(module) if not one.startswith("_")) or "nothing"
        raise UserError(f"{where}: {module.__file__ or module_name} has no {attribute!r}; it has {others}")
    return getattr(module, attribute)


def _module(name: str, where: str) -> Any:
    folder = os.getcwd()
    if not {"", folder} & set(sys.path):
        sys.path.append(folder)  # last, so that no file of a user's takes the place of a package
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise UserError(
                f"{where}: no module {error.name!r}, neither in {folder} nor in the environment; start the command beside it, "
                "or install it"
            ) from None
        raise UserError(f"{where}: module {name} needs {error.name}, which is not installed; install it") from error
    except Exception as error:  # a module may raise whatever it likes
        raise UserError(
            f"{where}: module {name} cannot be imported ({type(error).__name__}: {error}); mend it"
        ) from error
