"""Two processes on a CPU, connected by gloo, do what one does: the same batches, weights and submission."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.learning.tiny_training import Tiny, train

ROOT = Path(__file__).parent.parent
TINY = ["--config", str(ROOT / "tests" / "tiny.yaml")]
LIMIT_S = 100

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")


def python(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, list[dict]]:
    """The tiny training in one process, and what each of two ranks saw of it: batches of three, so shares differ."""
    folder = tmp_path_factory.mktemp("tiny")
    alone = train(folder / "images", folder / "alone", dropout=0.0)
    ended = python("tests.learning.tiny_training", folder / "images", folder / "two", -1, 2)
    assert ended.returncode == 0, ended.stderr
    return alone, [torch.load(folder / "two" / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def test_two_ranks_share_the_batches_of_one(tiny: tuple[Tiny, list[dict]]) -> None:
    alone, shares = tiny
    assert [(s, a + b) for (s, a), (_, b) in zip(*(share["rows"] for share in shares), strict=True)] == alone.rows


def test_two_ranks_end_with_the_weights_of_one(tiny: tuple[Tiny, list[dict]]) -> None:
    """With BatchNorm, and averaged."""
    alone, shares = tiny
    for name, value in alone.network.state_dict().items():
        for share in shares:
            torch.testing.assert_close(share["weights"][name], value, atol=1e-5, rtol=1e-5, msg=name)
        assert torch.equal(shares[0]["weights"][name], shares[1]["weights"][name]), name
