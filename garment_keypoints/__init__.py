"""Key points of garments in photos, in two stages.

`load` gives what predicts (pipeline/api.py): ``from garment_keypoints import load``. This package is everything that is
installed. In a checkout the packages below it lie beside this folder, where they are read by people.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from garment_keypoints.pipeline.api import load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"

if not (Path(__file__).parent / "pipeline").is_dir():
    __path__.append(str(Path(__file__).parents[1]))


def __getattr__(name: str) -> Any:
    """Import what predicts when it is asked for, and not before: torch takes seconds."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from garment_keypoints.pipeline.api import load

    return load
