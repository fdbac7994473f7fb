"""What the kernel is asked for, by strace: nothing has a name before it is on disk.

pytest -m slow tests/test_power_failure.py
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import topic_lines
from tests.train_process import ROOT
from tf_textrnn.runs import checkpoints
from tf_textrnn.runs.folder import RunFolder

CALLS = ["write", "writev", "pwrite64", "fsync", "fdatasync", "rename", "unlink", "sync", "syncfs"]
_CALL = re.compile(r"(\d+) +(\w+)\((.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>.* = (\d+)")


class Disk:
    """What would be left of a folder's files and names if the power failed now."""

    def __init__(self) -> None:
        self.written: dict[str, int] = {}
        self.synced: dict[str, int] = {}
        self.renamed: set[str] = set()  # folders of renames that may still be lost

    def write(self, path: str, size: int) -> None:
        self.written[path] = self.written.get(path, 0) + size

    def fsync(self, path: str, written: int) -> None:
        self.synced[path] = written
        self.renamed.discard(path)

    def rename(self, path: str, target: str) -> None:
        below = [name for name in self.written if name == path or name.startswith(f"{path}/")]
        if "/.writing-" not in target:  # else it is TensorFlow's, inside of what is synced later
            folder = str(pathlib.Path(target).parent)
            assert folder not in self.renamed, f"{folder} is not synced before {target} is renamed"
            assert below, path
            for name in below:
                assert self.synced.get(name) == self.written[name], f"{name} is not synced"
            self.renamed.add(folder)
        for name in below:
            moved = target + name[len(path) :]
            self.written[moved] = self.written.pop(name)
            if name in self.synced:
                self.synced[moved] = self.synced.pop(name)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_nothing_has_a_name_before_it_is_on_disk(tmp_path):
    (tmp_path / "train.tsv").write_text("\n".join(topic_lines(100, 1)) + "\n")
    folder, log = RunFolder(str(tmp_path / "run")), tmp_path / "strace.log"
    subprocess.run(
        [
            "strace", "-f", "-y", "-qq", "--seccomp-bpf", f"--trace={','.join(CALLS)}",
            f"--output={log}", sys.executable, "train.py", f"--train_file={tmp_path}/train.tsv",
            f"--run_dir={folder.path}", f"--cache_dir={tmp_path}/cache", "--hidden_size=4",
            "--embedding_dim=4", "--num_epochs=5", "--checkpoint_minutes=0.0001",
        ],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True,
    )  # fmt: skip
    last = checkpoints.own_files(folder.checkpoints)[-1]
    events = checkpoints.read_state(last)["summaries"]
    disk, under_way, synced, renames = Disk(), {}, {}, 0
    for line in log.read_text(errors="replace").splitlines():
        if resumed := _RESUMED.fullmatch(line):
            process, call, result = resumed.groups()
            path, size = under_way.pop((process, call), ("", 0))
        elif found := _CALL.fullmatch(line):
            process, call, rest = found.groups()
            assert call not in ("sync", "syncfs"), line  # of the whole machine
            if call == "rename":
                path, target = re.findall(r'"([^"]*)"', rest)[:2]
                if path.startswith(f"{folder.path}/"):
                    renames += 1
                    if target == str(last):  # the end of an epoch may write it again
                        synced = dict(disk.synced)
                    disk.rename(path, target)
                continue
            if call == "unlink":  # TensorFlow's, of parts that it has put together
                disk.written.pop(re.search(r'"([^"]*)"', rest)[1], None)
                continue
            path = re.search(r"<(.*?)>", rest)[1]
            size = disk.written.get(path, 0)
            if rest.endswith("<unfinished ...>"):
                under_way[process, call] = path, size
                continue
            result = rest.rpartition(" = ")[2].split()[0]
        else:
            continue
        if not path.startswith(str(folder.path)):
            continue
        if "write" in call:
            disk.write(path, int(result))
        else:
            disk.fsync(path, size)
    for name, size in events.items():
        assert synced[f"{folder.tensorboard}/{name}"] >= size
    assert not disk.renamed
    assert renames > 20
    print(f"{renames} renames, each of what was synced, each synced before the next")
