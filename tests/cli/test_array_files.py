"""Files of arrays: damaged ones, and places that cannot be written."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from paddle_tvm.compiler.array_files import load_array, load_arrays, replacing, save_arrays
from paddle_tvm.runtime.errors import UsageError

ARRAY = np.arange(6, dtype="float32").reshape(2, 3)


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"(2, 3)", b"(2, 3 "), (b"(2, 3)", b"(9, 9)"), (b"'descr'", b"'descX'"), (b"NUMPY", b"numpy")],
)
def test_a_damaged_header_is_the_users_error(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = tmp_path / "x.npy"
    np.save(path, ARRAY)
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(UsageError, match=r"x\.npy cannot be read"):
        load_array(path)


def test_a_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.npz"
    save_arrays(path, {"x": ARRAY})

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise KeyError("stopped")

    with pytest.raises(KeyError, match="stopped"):
        fail()
    np.testing.assert_array_equal(load_arrays(path)["x"], ARRAY)
    assert os.listdir(tmp_path) == ["out.npz"]


@pytest.mark.parametrize("name", ["folder", "missing/out.npz", "file/out.npz"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=name):
        save_arrays(tmp_path / name, {"x": ARRAY})
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_pipe_is_written_to_and_a_link_followed(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link.npz"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    save_arrays(pipe, {"x": ARRAY})
    reader.join()
    assert pipe.is_fifo()
    (tmp_path / "real.npz").write_bytes(received[0])
    np.testing.assert_array_equal(load_arrays(tmp_path / "real.npz")["x"], ARRAY)
    link.symlink_to("real.npz")
    save_arrays(link, {"x": ARRAY + 1})
    assert link.is_symlink()
    np.testing.assert_array_equal(load_arrays(tmp_path / "real.npz")["x"], ARRAY + 1)
