"""What the soak sends is what it says, and growth is seen."""

import psutil

from tests.soak.__main__ import Soak, chunked, form, kinds


def test_kinds_are_whole_requests() -> None:
    for name, (made, statuses) in kinds().items():
        sent = made(3)
        assert b"\r\n\r\n" in sent, name
        assert statuses
    sent = chunked(form(b"x" * 2000))
    assert b"Content-Length: 100\r\n" in sent
    assert sent.endswith(b"\r\n0\r\n\r\n")


def test_growth_is_seen() -> None:
    soak = Soak(0, psutil.Process(), memory=[100] * 50 + [110] * 50)
    assert soak.growth() == 1.1
