"""torchvision's compiled non-maximum suppression, without importing torchvision, which takes seconds.

Its library is loaded as `torchvision.extension` does; importing the whole of torchvision later finds it there.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def nms(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Return the positions of the boxes (D, 4) that are kept, best first; others overlap a better one by more than `iou`."""
    return _operator()(boxes, scores, iou)


@cache
def _operator() -> Any:
    folder = Path(find_spec("torchvision").origin).parent  # type: ignore[union-attr, arg-type]
    for library in sorted(folder.glob("_C*.so")) + sorted(folder.glob("_C*.pyd")):
        torch.ops.load_library(library)
        return torch.ops.torchvision.nms
    from torchvision.ops import nms as imported  # a build that keeps its library elsewhere

    return imported
