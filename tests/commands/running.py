"""How the tests run a verb of the command line."""

from pathlib import Path

from garment_keypoints.pipeline.cli.run import main

TINY = ["--config", str(Path(__file__).parent.parent / "tiny.yaml")]


def run(verb: str, *options: object) -> int:
    return main([verb, *map(str, options)])


def submit_options(run_folder: Path, test: Path) -> list[object]:
    detector, keypoints = run_folder / "detector" / "final.safetensors", run_folder / "keypoints" / "final.safetensors"
    return ["--test", test, "--detector", detector, "--keypoints", keypoints, "--workers", 0, "--accelerator", "cpu"]
