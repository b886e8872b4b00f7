"""Twenty thousand pictures through `submit`, one in a thousand broken: memory stays flat and no other row is lost."""

import json
import os
import struct
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest
from garment_keypoints.pipeline.contract.schema import Schema
from PIL import Image

from tests.commands.running import run, submit_options

PICTURES, CONTENTS, POISON_EVERY, EVERY_S = 20_000, 50, 1000, 1.0


def poisons(picture: bytes) -> list[bytes]:
    """A truncated picture, a text, nothing, a program, and a header of 600 million pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 20_000, 8, 0, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    return [picture[: len(picture) // 2], b"no picture", b"", eps, huge + struct.pack(">I", 9) + b"IDAT" + bytes(13)]


def write_pictures(folder: Path, schema: Schema) -> tuple[list[str], list[str]]:
    """Write the test folder; return its image ids and those of the poisons."""
    rng, contents = np.random.default_rng(4), []
    folder.mkdir()
    for number in range(CONTENTS):
        contents.append(folder / f"content{number}.{('jpg', 'png')[number % 2]}")
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((64, 48 + number % 17), Image.Resampling.BICUBIC).save(contents[-1])
    broken = poisons(contents[0].read_bytes())
    (folder / "Images").mkdir()
    ids, bad = [], []
    for number in range(PICTURES):
        ids.append(f"Images/{number:05d}.jpg")
        if number % POISON_EVERY == POISON_EVERY // 2:
            bad.append(ids[-1])
            (folder / ids[-1]).write_bytes(broken[len(bad) % len(broken)])
        else:
            os.link(contents[number % CONTENTS], folder / ids[-1])
    categories = list(schema.members)
    rows = [f"{image_id},{categories[number % len(categories)]}" for number, image_id in enumerate(ids)]
    (folder / "test.csv").write_text("\n".join(["image_id,image_category", *rows]) + "\n")
    return ids, bad


class Watch(threading.Thread):
    """Samples the memory (PSS, bytes) of this process and its children, and how many bytes of predictions there are."""

    def __init__(self, shards: Path) -> None:
        super().__init__(daemon=True)
        self.shards, self.samples, self.ended = shards, [], threading.Event()

    def run(self) -> None:
        own = psutil.Process()
        while not self.ended.wait(EVERY_S):
            memory = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    memory += process.memory_full_info().pss
                except psutil.NoSuchProcess:
                    continue
            done = sum(shard.stat().st_size for shard in self.shards.glob("rank*.jsonl"))
            self.samples.append((time.monotonic(), memory, done))

    def halves(self) -> list[np.ndarray]:
        """Return the samples (n, 3) while the first half was predicted, and the second."""
        samples = np.array(self.samples)
        done = samples[:, 2]
        first = (done > 0) & (done <= done.max() / 2)
        second = (done > done.max() / 2) & (np.arange(len(done)) <= done.argmax())
        return [samples[first], samples[second]]


@pytest.mark.slow
def test_many_pictures(trained: Path, schema: Schema, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    ids, bad = write_pictures(tmp_path / "test", schema)
    out = tmp_path / "s.csv"
    options = [*submit_options(trained, tmp_path / "test"), "--workers", 1, "--on_error", "skip", "--out", out]
    watch, began = Watch(out.with_suffix(".parts")), time.monotonic()
    watch.start()
    try:
        assert run("submit", *options) == 0
    finally:
        watch.ended.set()
        watch.join()
    took = time.monotonic() - began
    lines = [line.split(",") for line in out.read_text().splitlines()[1:]]
    assert [line[0] for line in lines] == ids
    assert [line[0] for line in lines if set(line[2:]) == {"-1_-1_-1"}] == bad
    assert list(json.loads(out.with_suffix(".json").read_text())["figures"]["skipped"]) == bad
    halves = watch.halves()
    assert min(map(len, halves)) >= 5
    first, second = (half[:, 1].max() / 1e6 for half in halves)
    speeds = [
        PICTURES * np.ptp(half[:, 2]) / max(done for *_, done in watch.samples) / np.ptp(half[:, 0]) for half in halves
    ]
    with capsys.disabled():
        print(f"\n{took:.0f} s, {speeds[0]:.0f} and {speeds[1]:.0f} images/s, {first:.0f} and {second:.0f} MB")
    assert second <= 1.1 * first
