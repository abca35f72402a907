"""Files that are written whole: writers that meet, links, modes, names and kills."""

import errno
import os
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest

from skcae import ContractiveAutoencoder
from skcae._core.data import disk
from skcae._core.data.disk import check_can_be_written, write_whole
from skcae.checkpoints import Checkpoint
from skcae.datasets import _cache
from skcae.persistence import load, save

HOW = {"max_iter": 2, "tol": 0.5, "random_state": 0}
needs_posix = pytest.mark.skipif(os.name == "nt", reason="modes and links of POSIX")
needs_a_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)


@pytest.fixture
def during_a_write(monkeypatch):
    """Do something once, when the next file is written but not yet in its place."""

    def arrange(action):
        whole, waiting = os.fsync, [action]

        def fsync(descriptor):
            if waiting:
                waiting.pop()()
            whole(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)

    return arrange


# ---- writers that meet ----------------------------------------------------------


def test_a_writer_in_the_midst_of_anothers_write(during_a_write, tmp_path):
    path = tmp_path / "file"
    during_a_write(lambda: write_whole(path, b"another's"))
    write_whole(path, b"the last to end")
    assert path.read_bytes() == b"the last to end"
    assert os.listdir(tmp_path) == ["file"]


def test_a_writer_that_fails_leaves_the_others_alone(during_a_write, tmp_path):
    path = tmp_path / "file"

    def fail():
        write_whole(path, b"another's")
        raise OSError(errno.ENOSPC, "No space left on device")

    during_a_write(fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"mine")
    assert path.read_bytes() == b"another's"
    assert os.listdir(tmp_path) == ["file"]


def test_models_that_several_threads_write_to_one_path(tmp_path):
    """Whoever reads meanwhile meets one of the models, and never a damaged file."""
    X = np.random.default_rng(0).random((20, 30))
    models = [ContractiveAutoencoder(n, **HOW).fit(X) for n in (3, 40)]
    path = tmp_path / "model.skops"
    save(models[0], path)
    errors = []

    def write(model):
        try:
            for _ in range(40):
                save(model, path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    sizes = set()
    while any(thread.is_alive() for thread in threads):
        sizes.add(load(path).n_components)
    for thread in threads:
        thread.join()
    assert not errors
    assert sizes <= {3, 40}
    assert os.listdir(tmp_path) == [path.name]


def test_a_part_of_the_users_own_is_not_touched(tmp_path):
    own = tmp_path / "model.skops.part"
    own.write_bytes(b"mine")
    save(ContractiveAutoencoder(3), tmp_path / "model.skops")
    assert own.read_bytes() == b"mine"


def test_a_name_that_is_taken_is_not_written_to(tmp_path, monkeypatch):
    class Taken:
        hex = "taken"

    monkeypatch.setattr(disk, "uuid4", Taken)
    taken = tmp_path / ".skcae-taken.part"
    taken.write_bytes(b"another's")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "file", b"mine")
    assert taken.read_bytes() == b"another's"
    assert os.listdir(tmp_path) == [taken.name]


# ---- what is there already ------------------------------------------------------


def write_a_model(path):
    save(ContractiveAutoencoder(3), path)


def write_a_checkpoint(path):
    X = np.random.default_rng(0).random((20, 4))
    ContractiveAutoencoder(3, **HOW).set_callbacks(Checkpoint(path)).fit(X)


def write_a_set(path):
    _cache.write(path, np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.int64))


writers = pytest.mark.parametrize(
    "write", [write_a_model, write_a_checkpoint, write_a_set]
)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@writers
@needs_posix
@pytest.mark.parametrize("there", [True, False])
def test_the_target_of_a_link_is_written(write, there, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target, link = folder / "target", tmp_path / "link"
    if there:
        target.write_bytes(b"before")
    link.symlink_to("elsewhere/target")
    write(link)
    assert link.is_symlink()
    assert target.read_bytes()[:2] == b"PK"
    assert os.listdir(folder) == ["target"]


@writers
@needs_posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666])
def test_the_mode_of_a_file_is_kept(write, mode, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    path.chmod(mode)
    write(path)
    assert path.read_bytes()[:2] == b"PK"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@needs_posix
def test_nobody_reads_a_secret_before_it_has_its_mode(during_a_write, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    path.chmod(0o600)
    modes = []
    during_a_write(
        lambda: modes.extend(
            stat.S_IMODE(part.stat().st_mode) for part in tmp_path.iterdir()
        )
    )
    write_whole(path, b"after")
    assert modes == [0o600, 0o600]


@writers
@needs_posix
def test_a_new_file_has_the_mode_of_any_other(write, tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "file")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@writers
def test_the_longest_name(write, tmp_path):
    path = tmp_path / ("x" * 255)
    write(path)
    write(path)
    assert os.listdir(tmp_path) == [path.name]


@writers
@needs_posix
def test_what_is_no_file_is_not_replaced(write, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no file that could be replaced"):
        write(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match=r"loop|levels of symbolic links"):
        write(tmp_path / "loop")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["loop", "pipe"]


# ---- before there is anything to write ------------------------------------------


@needs_posix
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("a\ud800.skops", ValueError, "cannot be written: .*surrogates not allowed"),
        ("a\0.skops", ValueError, "cannot be written: .*null byte"),
        ("x" * 256, OSError, "cannot be written: .*File name too long"),
        ("file/a.skops", OSError, "cannot be written: .*Not a directory"),
        ("none/a.skops", FileNotFoundError, "There is no folder"),
        ("to-nowhere", FileNotFoundError, "There is no folder"),
        ("folder", IsADirectoryError, "is a folder"),
        ("/dev/null", OSError, "cannot be written: .*no file that could be replaced"),
        ("/proc/a.skops", OSError, "no folder|cannot be written"),
    ],
)
def test_a_checkpoint_that_cannot_be_written_is_refused_at_once(
    name, error, message, tmp_path
):
    """Before the first epoch, whatever the reason, and nothing is left behind."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "to-nowhere").symlink_to("none/a.skops")
    before = sorted(tmp_path.rglob("*"))
    model = ContractiveAutoencoder(3, **HOW)
    model.set_callbacks(Checkpoint(tmp_path / name))
    with pytest.raises(error, match=message):
        model.fit(np.random.default_rng(0).random((20, 4)))
    assert not hasattr(model, "components_")
    assert sorted(tmp_path.rglob("*")) == before


@needs_posix
@needs_a_user
def test_a_folder_that_is_closed(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="Permission denied"):
        check_can_be_written(tmp_path / "a.skops")


@pytest.mark.parametrize("path", [None, 3, b"a.skops"])
def test_a_checkpoint_needs_a_path(path):
    model = ContractiveAutoencoder(3, **HOW).set_callbacks(Checkpoint(path))
    with pytest.raises(TypeError, match=r"path=.* must be a str or a path"):
        model.fit(np.random.default_rng(0).random((20, 4)))


def test_to_look_leaves_what_is_there(tmp_path):
    path = tmp_path / "file"
    check_can_be_written(path)
    assert not os.listdir(tmp_path)
    path.write_bytes(b"before")
    check_can_be_written(path)
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


# ---- kills ----------------------------------------------------------------------


@needs_posix
def test_a_folder_that_can_be_written_but_not_read(tmp_path, monkeypatch):
    """The file is there, and that its name may be lost with the power is no error."""

    def closed(path, *args):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(disk.os, "open", closed)
    write_whole(tmp_path / "file", b"after")
    assert (tmp_path / "file").read_bytes() == b"after"


@needs_posix
def test_a_kill_in_the_midst_of_a_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"before")
    code = (
        "import os, signal, sys; from skcae._core.data.disk import write_whole; "
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL); "
        "write_whole(sys.argv[1], b'after')"
    )
    out = subprocess.run([sys.executable, "-c", code, path])
    assert out.returncode == -9
    assert path.read_bytes() == b"before"
    (left,) = tmp_path.glob(".skcae-*.part")
    assert left.read_bytes() == b"after"
    write_whole(path, b"at last")
    assert path.read_bytes() == b"at last"
