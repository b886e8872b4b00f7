"""Where the files of a photo go: below its path as it was named, and no two photos of a job have one place."""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from garment_keypoints.pipeline.data.photos import PHOTOS, video_of

FILES = "files"
"""In a line of predictions.jsonl, where the files of its photo lie, if not below its own name."""
UP, ROOT = "__", "_"
"""Folders that stand for .. and for / in the place of a photo's files."""
CLIP = "-overlay.mp4"
OF_FILES = (".txt", ".jpg", ".jpeg", ".yaml", CLIP)
"""Ends of the names of files that are written; a folder called so gets two letters more."""
LONGEST = 200
"""Bytes of a name, of the 255 that a file system takes, so that suffixes have room."""
MARK = 12
"""Digits of the hash by which a name is told apart."""


@dataclass
class Places:
    """Which photo or video each place is of. About a hundred bytes a photo are held."""

    owners: dict[int, int] = field(default_factory=dict)

    def take(self, name: str) -> PurePosixPath:
        """Return the place of a photo's files: `place_of`, or one with a mark where that is another's or too long.

        Two photos are another's also where capital letters or their suffix is all that tells them apart, since labels have
        none, and some file systems do not distinguish capitals. The frames of a video share a folder, which is the video's place.
        """
        video = video_of(name)
        place = place_of(video or name)
        while len(os.fsencode(place.name)) > LONGEST or not self._claim(place, video, video or name):
            place = _marked(place)
        return place / PurePosixPath(name).name if video else place

    def keep(self, name: str, place: PurePosixPath) -> None:
        """Note that a photo has a place, from an earlier run."""
        video = video_of(name)
        self._claim(place.parent if video else place, video, video or name)

    def _claim(self, place: PurePosixPath, video: str, name: str) -> bool:
        owner, claims = _hash(name), {_hash(f"{bool(video)}{one}") for one in _claims(place, bool(video))}
        if any(self.owners.get(one, owner) != owner for one in claims):
            return False
        self.owners.update(dict.fromkeys(claims, owner))
        return True


def place_of(name: str) -> PurePosixPath:
    """Return where the files of a photo go if nothing else does: its path as it was named, inside of one folder."""
    *folders, file = PurePosixPath(name).parts
    return PurePosixPath(*map(_stand_in, folders), file)


def _stand_in(folder: str) -> str:
    """Return the name of a folder where nothing leads out, and none is called like a stand-in or like a file."""
    if folder == ".." or set(folder) == {"/"}:
        return UP if folder == ".." else ROOT
    plain = folder.rstrip("_").lower()
    return f"{folder}__" if not plain or plain.endswith(OF_FILES) else folder


def _claims(place: PurePosixPath, video: bool) -> set[str]:
    """Return what no two places may share, so that labels, overlays, crops and clips differ in more than capitals."""
    whole = place.as_posix().lower()
    stem = os.path.splitext(whole)[0]
    return {stem} if video else {_without_suffixes(stem), _without_suffixes(whole)}


def _without_suffixes(path: str) -> str:
    stem, suffix = os.path.splitext(path)
    return _without_suffixes(stem) if suffix in PHOTOS else path


def _marked(place: PurePosixPath) -> PurePosixPath:
    stem, suffix = os.path.splitext(place.name)
    if len(os.fsencode(suffix)) > MARK:
        stem, suffix = place.name, ""
    digest = hashlib.blake2b(os.fsencode(place), digest_size=MARK // 2).hexdigest()
    room = LONGEST - MARK - len(os.fsencode(suffix)) - 1
    return place.with_name(f"{os.fsencode(stem)[:room].decode(errors='ignore')}~{digest}{suffix}")


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=8).digest(), "big")
