"""Files that appear as a whole or not at all."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

Where = str | os.PathLike[str]


def write_whole(path: Where, data: bytes) -> None:
    """Write a file so that at any moment the old one or the new one is there.

    The new one takes the old one's place when it is on the disk. However many write to
    one path, it holds what one of them wrote. Behind a symbolic link its target is
    written, and a file that was there leaves its mode to the new one.

    Raises
    ------
    OSError
        If the file cannot be written. What was there before is then still there.
    """
    with _part_beside(path) as (part, file, target):
        with file:
            file.write(data)
            # The content first, or a crash could leave its name to an empty file.
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    _settle_names(target.parent)


def check_can_be_written(path: Where) -> None:
    """Raise what `write_whole` would, as far as it shows before there is data.

    Raises
    ------
    OSError
        If no file can be written there.
    ValueError
        If the path is none, as with characters that the system's encoding has not.
    """
    with _part_beside(path) as (part, file, _):
        file.close()
        part.unlink()


@contextmanager
def _part_beside(path: Where) -> Iterator[tuple[Path, BinaryIO, Path]]:
    """Make an empty file beside the target, which nobody else has or meets.

    It is gone after an error.
    """
    # Another name than the target's with an ending: that might be too long.
    # A link stays one, and the part is on its target's disk, where renaming is atomic.
    target = Path(os.path.realpath(path))
    mode = _mode_of(path)
    part = target.with_name(f".skcae-{uuid4().hex}.part")
    # Only a file that was not there before is ours to remove.
    file = part.open("xb")
    try:
        if mode is not None:
            os.chmod(part, mode)
        yield part, file, target
    except BaseException:
        file.close()
        part.unlink(missing_ok=True)
        raise


def _mode_of(path: Where) -> int | None:
    """Return the mode of the file that is there, and None where there is none."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{os.fspath(path)!r} is a folder.")
    if not stat.S_ISREG(mode):
        raise OSError(f"{os.fspath(path)!r} is no file that could be replaced.")
    return stat.S_IMODE(mode)


def _settle_names(folder: Path) -> None:
    """Wait until a folder's list of names is on the disk, too.

    As far as it can be opened: one may be allowed to write in a folder, but not to read
    it, and on Windows none can be.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
