"""Exports a run's best model for ONNX Runtime: <run>/export_onnx/<version>/.

`docs/formats.md` describes the files. All that turns a text into token ids and n-grams is data in
them, so that a program in any language can do it.
"""

import functools
import pathlib
from typing import TYPE_CHECKING

from tf_textrnn.base.files import atomic_write
from tf_textrnn.exporting.onnx_parts import file_contents, parts_of
from tf_textrnn.exporting.versions import export_version

if TYPE_CHECKING:
    from tf_textrnn.runs.folder import RunFolder
    from tf_textrnn.runs.loaded import LoadedRun


def export_run(run_dir: str, is_int8: bool = False, max_megabytes: float = 0.0) -> pathlib.Path:
    """Writes the next version of a run's export for ONNX Runtime.

    `export_version` has returns and errors.

    Args:
      run_dir: the folder of a run that has finished at least one epoch.
      is_int8: whether tables and the weights of layers are written as int8.
      max_megabytes: size of all files, which words and n-grams are left out to reach; 0 = any.
    """
    from tf_textrnn.runs.folder import RunFolder

    folder = RunFolder(run_dir)
    filler = functools.partial(write, is_int8=is_int8, max_megabytes=max_megabytes)
    return export_version(folder, folder.export_onnx, filler)


def write(
    path: pathlib.Path,
    folder: "RunFolder",
    run: "LoadedRun",
    is_int8: bool = False,
    max_megabytes: float = 0.0,
) -> None:
    """Writes the files of a run's export into an empty folder.

    Raises:
      UserError: the weights are too large for ONNX, or no model is as small as it should be.
    """
    from tf_textrnn.exporting import small
    from tf_textrnn.exporting.card import write_card

    write_card(path, folder, run)
    if max_megabytes:
        taken = sum(file.stat().st_size for file in path.iterdir())
        contents = small.fit(folder, run, int(max_megabytes * 1e6) - taken)
    elif is_int8:
        contents = small.rounded(folder, run)
    else:
        contents = file_contents(run, parts_of(run), is_int8=False)
    for name, content in contents.items():
        with atomic_write(path / name) as file:
            file.write(content)
