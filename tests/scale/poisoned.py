"""A predictor that dies of one photo; `python -m tests.scale.poisoned VERB ...` is the command line with it."""

import os
import signal
import sys
from types import SimpleNamespace
from typing import Any

from garment_keypoints.pipeline.cli.run import main
from garment_keypoints.pipeline.commands import catalogue

POISON = "poison"
"""The id of the photo."""


class Poisoned(catalogue.CatalogueActor):
    """Dies of one photo, whenever it is at it."""

    def load(self) -> None:
        super().load()
        find, job = self.maker.predictor.find, self.maker.predictor.job

        def dying(names: list[str], *rest: Any) -> Any:
            if POISON in names:
                os.kill(os.getpid(), signal.SIGKILL)
            return find(names, *rest)

        self.maker.predictor = SimpleNamespace(find=dying, job=job)


if __name__ == "__main__":
    # By its importable name: what is defined in __main__ would travel to the actors by value, with all that it touches.
    from tests.scale.poisoned import Poisoned as Importable

    catalogue.CatalogueActor = Importable
    sys.exit(main())
