"""Exports a run's best model for TF Serving: <run>/export/<version>/."""

import argparse
import contextlib
import itertools
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import NoReturn

from tf_textrnn.base.errors import UserError
from tf_textrnn.base.files import fsync_folder, fsync_tree
from tf_textrnn.base.startup import load_tensorflow


def export_run(run_dir: str) -> pathlib.Path:
    """Writes the next version of a run's SavedModel.

    It is written beside and renamed, so that a server that watches the folder never sees a part.

    Args:
      run_dir: the folder of a run that has finished at least one epoch.

    Returns:
      The version's folder.

    Raises:
      UserError: the folder holds no whole run, or cannot be written.
    """
    import tensorflow as tf

    from tf_textrnn.exporting import card as extras
    from tf_textrnn.exporting.signatures import CLASSIFY_METHOD, ServedTextRNN
    from tf_textrnn.runs.folder import RunFolder, load_run

    folder = RunFolder(run_dir)
    run = load_run(folder)
    served = ServedTextRNN(
        run.model,
        str(folder.vocabulary),
        str(folder.labels),
        run.config.text.tokenizer,
        run.config.text.max_len,
        run.best.get("temperature", 1.0),  # an imported run has none
    )
    try:
        folder.export.mkdir(exist_ok=True)
        with _scratch_folder(folder.export) as scratch:
            tf.saved_model.save(served.resources, str(scratch), signatures=served.signatures)
            # TF 2 calls every signature's method "predict".
            names = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(scratch))
            names.replace_method_name("classify", CLASSIFY_METHOD, tags="serve")
            names.save()
            extras.write(scratch / "assets.extra", folder, run)
            return _take_next_version(scratch, folder.export)
    except (OSError, tf.errors.OpError) as error:  # TensorFlow writes the variables by itself
        reason = getattr(error, "strerror", None) or getattr(error, "message", error)
        raise UserError(
            f"{folder.export}: cannot be written ({reason}); the run is whole: mend this, then "
            f"python -m export.saved_model --run_dir={run_dir}"
        ) from error


@contextlib.contextmanager
def _scratch_folder(parent: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder whose name no server takes for a version; gone afterwards, unless renamed."""
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=".writing-", dir=parent))
    scratch.chmod(0o755)  # a server may run as another user
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _take_next_version(scratch: pathlib.Path, parent: pathlib.Path) -> pathlib.Path:
    fsync_tree(scratch)  # a version that can be seen is on disk
    taken = [int(path.name) for path in parent.iterdir() if path.name.isdecimal()]
    for version in itertools.count(max(taken, default=0) + 1):
        target = parent / str(version)
        try:
            scratch.rename(target)
        except OSError:
            if not target.exists():  # else another export was faster
                raise
        else:
            fsync_folder(parent)
            return target
    raise AssertionError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def main() -> None:
    parser = _Parser(prog="python -m export.saved_model", description=__doc__)
    parser.add_argument("--run_dir", required=True, help="the run's folder")
    run_dir = parser.parse_args().run_dir
    load_tensorflow()
    try:
        print(export_run(run_dir))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
