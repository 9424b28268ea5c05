"""A Redis stream is cut into whole frames, however its bytes arrive."""

from __future__ import annotations

import pytest

from quorate.testing import frames
from quorate.testing.frames import Frames

FRAMES = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":12\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"$0\r\n\r\n",
    b"$4\r\na\r\nb\r\n",
    b"*0\r\n",
    b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n",
    b"%1\r\n+key\r\n*1\r\n:1\r\n",
    b"~2\r\n:1\r\n:2\r\n",
    b">2\r\n+message\r\n$2\r\nhi\r\n",
    b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",1.5\r\n",
    b"=5\r\ntxt:a\r\n",
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n",
    b"PING\r\n",
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_frames_come_out_whole_however_they_are_sliced(size: int) -> None:
    stream = b"".join(FRAMES)
    cutter = Frames()

    whole = [
        frame
        for at in range(0, len(stream), size)
        for frame in cutter.feed(stream[at : at + size])
    ]

    assert whole == FRAMES


def test_a_frame_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MOST_BYTES", 100)

    with pytest.raises(ValueError, match="100 bytes"):
        Frames().feed(b"$1000\r\n" + b"x" * 200)
