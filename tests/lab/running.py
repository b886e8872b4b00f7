"""The preset that the laboratory's tests train with."""

from pathlib import Path

TINY = ["--config", str(Path(__file__).parent / "tiny.yaml")]
