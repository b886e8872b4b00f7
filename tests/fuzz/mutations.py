"""Valid files with a few things changed in them, so that fuzzing goes deep, and bytes that are nothing at all."""

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

TOKENS = (
    *('"', ",", "\n", "\r", "\0", "\t", " ", ":", "- ", "/", "//", "./", "../", "\\", "C:", "_", "-", "#", "%", "'"),
    *(
        "[",
        "]",
        "{",
        "}",
        "[]",
        "{}",
        "null",
        "~",
        "true",
        "no",
        "&a",
        "*a",
        "<<: *a",
        "!!python/object/apply:os.system",
    ),
    *("\u0661", "\ufeff", "\u2028", "\u00e9", "\U0001f4a5", "x" * 5000, "[" * 2000, "2020-13-45", "0x10", "1_0", "1e5"),
    *("nan", "inf", ".nan", ".inf", "-1", "0", "1e400", "99999999999", "-1_-1_-1", "0_0_-1", "99999_99999_1", "1.5"),
)
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1")
NUMBERS = (
    b"\0",
    b"\xff",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\x01\0",
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def text_like(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Draw a text file: characters, cells and lines of a valid one changed, in some encoding."""
    text = draw(st.sampled_from(seeds)).decode()
    for change in draw(st.lists(st.sampled_from(TEXT_CHANGES), min_size=1, max_size=4)):
        text = change(draw, text)
    return text.encode(draw(st.sampled_from(ENCODINGS)), errors="replace")


def _piece(draw: st.DrawFn, text: str) -> str:
    start = draw(st.integers(0, len(text)))
    end = min(len(text), start + draw(st.integers(0, 12)))
    token = draw(st.sampled_from(TOKENS) | st.text(max_size=6))
    return text[:start] + token + text[end:]


def _part(separator: str, joined: str) -> Callable[[st.DrawFn, str], str]:
    """Change parts of a text between separators: swap two, drop one, take one twice, or put something else there."""

    def change(draw: st.DrawFn, text: str) -> str:
        parts = text.replace("\n", "\n" + separator).split(separator) if separator != "\n" else text.split("\n")
        a, b = draw(st.integers(0, len(parts) - 1)), draw(st.integers(0, len(parts) - 1))
        kind = draw(st.sampled_from(("swap", "drop", "twice", "other")))
        if kind == "swap":
            parts[a], parts[b] = parts[b], parts[a]
        elif kind == "drop":
            del parts[a]
        elif kind == "twice":
            parts.insert(b, parts[a])
        else:
            parts[a] = draw(st.sampled_from(TOKENS) | st.text(max_size=6))
        return joined.join(parts).replace("\n" + separator, "\n") if separator != "\n" else "\n".join(parts)

    return change


TEXT_CHANGES = (_piece, _piece, _part("\n", "\n"), _part(",", ","), _part(",", ","), _part(": ", ": "))


@st.composite
def bytes_like(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Draw a binary file: a valid one cut off, with bytes flipped, numbers overwritten, or parts of it put elsewhere."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 5))):
        # Headers are where a file says what it is and how large.
        reach = draw(st.sampled_from((64, 256, len(content))))
        at = draw(st.integers(0, max(0, min(reach, len(content)) - 1)))
        kind = draw(st.sampled_from(("flip", "number", "cut", "splice", "insert", "append")))
        if kind == "flip" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "number":
            number = draw(st.sampled_from(NUMBERS))
            content[at : at + len(number)] = number
        elif kind == "cut":
            del content[at if draw(st.booleans()) else len(content) - at // 4 :]
        elif kind == "splice":
            start = draw(st.integers(0, len(content)))
            content[at : at + draw(st.integers(0, 64))] = content[start : start + draw(st.integers(0, 64))]
        elif kind == "insert":
            content[at:at] = draw(st.binary(max_size=16))
        else:
            content += draw(st.binary(max_size=64))
    return bytes(content)


@st.composite
def values_like(draw: st.DrawFn, valid: dict[str, Any]) -> dict[str, Any]:
    """Draw plain values: some of `valid`, at any depth, taken away or replaced by others."""
    changed = dict(valid)
    for _ in range(draw(st.integers(1, 3))):
        if not changed:
            break
        name = draw(st.sampled_from(sorted(changed)))
        if isinstance(changed[name], dict) and changed[name] and draw(st.integers(0, 3)):
            changed[name] = draw(values_like({str(key): value for key, value in changed[name].items()}))
        elif draw(st.booleans()):
            changed[name] = draw(PLAIN)
        else:
            del changed[name]
    return changed
