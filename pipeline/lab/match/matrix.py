"""The matrix of what crops a network was trained on against what crops it is shown: means over seeds, and differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from garment_keypoints.pipeline.lab.noise import Difference, Mean, mean

RESAMPLES = 4000
Cell = tuple[str, str]
"""Name of the row, what was trained on, and of the column, what is shown."""


@dataclass
class Matrix:
    """Errors of the same images by row and column: `counted` (N,) points of each image, and (S, N) sums of errors by seed."""

    rows: Sequence[str]
    columns: Sequence[str]
    counted: np.ndarray
    sums: dict[Cell, list[np.ndarray]] = field(default_factory=dict)

    def add(self, cell: Cell, sums: np.ndarray) -> None:
        """Take the errors (N,) of one more seed, summed over the points of each image, fractions of the normaliser."""
        self.sums.setdefault(cell, []).append(sums)

    def by_seed(self, cell: Cell) -> list[float]:
        """Return the NE in percent of each seed; none where nothing was run."""
        return [100 * float(one.sum() / self.counted.sum()) for one in self.sums.get(cell, [])]

    def mean(self, cell: Cell) -> Mean | None:
        return mean(self.by_seed(cell))

    def difference(self, cell: Cell, reference: Cell) -> Difference | None:
        """Return how much the NE of a cell, in percent, is above another's, with an interval from seeds and images together.

        Every resampling draws the seeds of either cell, and the same images for both (Efron 1979). With few seeds the interval
        says little about theirs: three give ten different draws. None where either has no result.
        """
        if not (self.sums.get(cell) and self.sums.get(reference)):
            return None
        rng = np.random.default_rng(0)
        images = rng.multinomial(len(self.counted), np.full(len(self.counted), 1 / len(self.counted)), RESAMPLES)
        points = images @ self.counted
        drawn = [self._drawn(one, images, rng) / points for one in (cell, reference)]
        low, high = np.quantile(100 * (drawn[0] - drawn[1]), (0.025, 0.975))
        value = np.mean(self.by_seed(cell)) - np.mean(self.by_seed(reference))
        return Difference(float(value), float(low), float(high))

    def _drawn(self, cell: Cell, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the resampled sums (R,) of a cell; images (R, N) says how often each is drawn."""
        sums = np.stack(self.sums[cell])
        seeds = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), len(images)) / len(sums)
        return ((seeds @ sums) * images).sum(1)


def as_markdown(scene: str, matrix: Matrix, titles: Mapping[str, str]) -> str:
    """Write the matrix of a set of images, and how much each row is above the first in every column, and above all in one."""
    shown = [titles.get(name, name) for name in matrix.columns]
    ruler = "| --- " * (1 + len(shown)) + "|"
    lines = [f"## {scene}\n", f"| trained on | {' | '.join(shown)} |", ruler]
    for row in matrix.rows:
        cells = [_mean_cell(matrix.mean((row, column))) for column in matrix.columns]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    first = matrix.rows[0]
    seeds = max((len(one) for one in matrix.sums.values()), default=0)
    over = "seeds and images" if seeds > 1 else "images alone, since there is one seed"
    lines += [f"\nAbove {first}, with the 95 % interval over {over}; bold where it leaves zero out:\n"]
    lines += [f"| trained on | {' | '.join(shown)} |", ruler]
    for row in matrix.rows[1:]:
        cells = [_difference_cell(matrix.difference((row, column), (first, column))) for column in matrix.columns]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    if len(matrix.rows) > 2:
        lines += _pairs(matrix, matrix.columns[0], shown[0])
    return "\n".join(lines) + "\n"


def _pairs(matrix: Matrix, column: str, shown: str) -> list[str]:
    """Return the lines of a table of how much each row is above each other one in a column."""
    lines = [f"\nThe row above the column, in {shown}; of so many comparisons one in twenty is bold by chance:\n"]
    lines += [f"| trained on | {' | '.join(matrix.rows[:-1])} |", "| --- " * len(matrix.rows) + "|"]
    for number, row in enumerate(matrix.rows[1:], start=1):
        others = matrix.rows[:number]
        cells = [_difference_cell(matrix.difference((row, column), (other, column))) for other in others]
        cells += [""] * (len(matrix.rows) - 1 - number)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def _mean_cell(one: Mean | None) -> str:
    if one is None:
        return "pending"
    return f"{one.value:.2f}" + (f" ± {one.sd:.2f}" if one.sd is not None else "")


def _difference_cell(one: Difference | None) -> str:
    return "pending" if one is None else one.as_cell()
