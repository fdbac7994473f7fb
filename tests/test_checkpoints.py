"""Checkpoints: whole, verified, the newest good one wins, nothing unpickled."""

import contextlib
import io
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_textrnn.base.errors import UserError
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.event_files import EventFiles
from tf_textrnn.runs.folder import RunFolder
from tf_textrnn.runs.saver import BackgroundSaver


def variables():
    return {
        "model/embedding": tf.Variable(tf.ones([3, 2])),
        "optimizer/iterations": tf.Variable(7, dtype=tf.int64),
    }


def arrays(value=1.0):
    return {
        "model/embedding": np.full([3, 2], value, np.float32),
        "optimizer/iterations": np.array(7, np.int64),
    }


def test_restores_every_bit(tmp_path):
    saved = {"x": np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)}
    checkpoints.save_step(tmp_path, 3, saved, {"epoch": 1, "loss": 0.1 + 0.2})
    restored = {"x": tf.Variable(tf.zeros([5, 3]))}
    found = checkpoints.newest(tmp_path)
    assert found.state == {"epoch": 1, "loss": 0.1 + 0.2}
    checkpoints.assign(found.path, found.arrays, restored)
    assert restored["x"].numpy().tobytes() == saved["x"].tobytes()


def test_the_newest_three_are_kept_and_nothing_half_written(tmp_path):
    for step in (9, 10, 11, 100):
        checkpoints.save_step(tmp_path, step, arrays(), {"step": step})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["0000000010.npz", "0000000011.npz", "0000000100.npz"]
    assert checkpoints.newest(tmp_path).state == {"step": 100}


def test_what_is_saved_in_the_background_is_the_moment_it_was_asked_for(tmp_path, monkeypatch):
    go_on, save_step = threading.Event(), checkpoints.save_step
    monkeypatch.setattr(checkpoints, "save_step", lambda *a: go_on.wait() and save_step(*a))
    folder = RunFolder(str(tmp_path))
    folder.make()
    saver, variable = BackgroundSaver(folder), tf.Variable(tf.zeros([3]))
    saver.save(1, {"x": variable}, {})
    variable.assign_add(tf.ones([3]))
    go_on.set()
    saver.wait()
    np.testing.assert_array_equal(checkpoints.newest(folder.checkpoints).arrays["x"], np.zeros(3))
    shutil.rmtree(folder.checkpoints)
    saver.save(2, {"x": variable}, {})
    with pytest.raises(FileNotFoundError, match=r"0000000002\.npz"):
        saver.wait()
    saver.wait()  # what failed is told once


NOT_OURS = ["keep-this.npz", "9999999999999.npz", "0000000099 (copy).npz", "99.npz", "notes.txt"]


def test_only_files_of_our_names_are_loaded_or_removed(tmp_path):
    folder = RunFolder(str(tmp_path))
    folder.make()
    for name in NOT_OURS:
        checkpoints.write(folder.checkpoints / name, arrays(9.0), {"step": 9})
        checkpoints.write(folder.best / name, arrays(9.0), {"step": 9})
    assert checkpoints.newest(folder.checkpoints) is None
    saver = BackgroundSaver(folder)
    for step in range(1, 6):
        name = checkpoints.step_file(folder.best, step).name
        sha256 = checkpoints.write(folder.best / name, arrays(), {"step": step})
        state = {"step": step, "best": {"file": name, "sha256": sha256}}
        saver.save(step, variables(), state)
        saver.wait()
    assert checkpoints.newest(folder.checkpoints).state["step"] == 5
    kept = [f"{step:010}.npz" for step in (3, 4, 5)]
    for path in (folder.checkpoints, folder.best):
        assert sorted(child.name for child in path.iterdir()) == sorted([*kept, *NOT_OURS])


def test_only_what_a_killed_trainer_of_ours_was_writing_is_removed(tmp_path):
    folder = RunFolder(str(tmp_path))
    folder.make()
    (folder.tensorboard / "run").mkdir(parents=True)
    ours = [
        tmp_path / ".config.json.12.tmp",
        tmp_path / ".report.json.12.tmp",
        folder.checkpoints / ".0000000012.npz.12.tmp",
        folder.best / ".0000000012.npz.12.tmp",
        folder.best / ".model.npz.12.tmp",
        folder.tensorboard / "run" / ".words.tsv.12.tmp",
    ]
    others = [
        tmp_path / ".notes.txt.12.tmp",
        tmp_path / ".config.json.tmp",
        folder.checkpoints / ".keep-this.npz.12.tmp",
        folder.best / ".tmp",
        tmp_path / "mine" / ".config.json.12.tmp",
    ]
    (tmp_path / "mine").mkdir()
    for path in ours + others:
        path.touch()
    folder.remove_leftovers()
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in others)


def test_only_event_files_of_our_writers_are_cut_or_removed(tmp_path):
    ours = "events.out.tfevents.1700000000.host.name.12.0.v2"
    others = [
        tmp_path / "train" / "events.out.tfevents.1700000000.host.profile-empty",
        tmp_path / "train" / "events.copy",
        tmp_path / "mine" / ours,
    ]
    for path in [*others, *(tmp_path / run / ours for run in ("train", "valid", "run"))]:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half a record")
    EventFiles(tmp_path).cut_back({f"valid/{ours}": 0})
    assert sorted(path for path in tmp_path.rglob("events*")) == sorted(
        [*others, tmp_path / "valid" / ours]
    )
    assert EventFiles(tmp_path).sync() == {f"valid/{ours}": 0}


def test_an_empty_folder_is_the_start(tmp_path):
    assert checkpoints.newest(tmp_path) is None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_flipped_bit_or_cut_falls_back_to_the_checkpoint_before(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("checkpoints")
    checkpoints.save_step(folder, 1, arrays(1.0), {"step": 1})
    checkpoints.save_step(folder, 2, arrays(2.0), {"step": 2})
    newest = folder / "0000000002.npz"
    content = bytearray(newest.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:place]
    else:
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    newest.write_bytes(content)
    with contextlib.redirect_stderr(io.StringIO()) as warning:
        found = checkpoints.newest(folder)
    # A bit that carries nothing (a date in the archive) may flip unseen.
    step = 1 if "is damaged" in warning.getvalue() else 2
    assert found.state == {"step": step}
    assert (found.arrays["model/embedding"] == step).all()


def test_only_damaged_checkpoints_are_an_error(tmp_path, capsys):
    (tmp_path / "0000000001.npz").write_bytes(b"")
    with pytest.raises(UserError, match="every checkpoint is damaged"):
        checkpoints.newest(tmp_path)
    assert "0000000001.npz is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "variable", "message"),
    [
        ("optimizer/rate", tf.Variable(1.0), "lacks 'optimizer/rate'"),
        ("model/embedding", tf.Variable(tf.zeros([4, 2])), r"float32\[3, 2\], expected float32\[4"),
        ("optimizer/iterations", tf.Variable(7), r"int64\[\], expected int32\[\]"),
    ],
)
def test_another_models_checkpoint_is_refused(tmp_path, name, variable, message):
    checkpoints.save_step(tmp_path, 1, arrays(), {})
    found = checkpoints.newest(tmp_path)
    with pytest.raises(UserError, match=message):
        checkpoints.assign(found.path, found.arrays, variables() | {name: variable})


def test_pickles_are_not_opened(tmp_path):
    path = tmp_path / "0000000001.npz"
    with path.open("wb") as file:
        np.savez(file, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(checkpoints.DamagedError):
        checkpoints.read(path)
