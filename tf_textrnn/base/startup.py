"""Loads TensorFlow, without its chatter, and says how many cores it may use."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

_SUBGRAPHS = 4  # that a train step runs side by side: two directions, two halves of the batch
_of_ours: set[str] = set()  # variables of the environment that `load_tensorflow` has set


def usable_cores() -> int:
    """Number of CPU cores that this process may run on, at least 1.

    Where the system does not say (macOS and Windows before Python 3.13), those of the machine.
    """
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_tensorflow(intraop_threads: int | None = None) -> Any:
    """Imports TensorFlow and starts its devices; what it logs meanwhile shows only if that fails.

    `TF_NUM_INTEROP_THREADS` and `TF_NUM_INTRAOP_THREADS` overrule the numbers of threads, and so
    does an earlier call in this process.

    Args:
      intraop_threads: threads that one op may use. None suits training, where an LSTM's ops are
        too small to share: threads go to the subgraphs of a step first, and to single ops where
        cores are left.

    Returns:
      The module `tensorflow`.
    """
    is_worker = bool(os.environ.get("TF_CONFIG"))
    cores = usable_cores()
    settings = {
        # What TensorFlow has to say of a lost worker, the command says in one line.
        "TF_CPP_MIN_LOG_LEVEL": "3" if is_worker else "2",
        "TF_NUM_INTEROP_THREADS": str(cores),
        "TF_NUM_INTRAOP_THREADS": str(intraop_threads or max(1, cores // _SUBGRAPHS)),
    }
    for name in settings.keys() - os.environ.keys():
        os.environ[name] = settings[name]
        _of_ours.add(name)
    with _stderr_kept():
        import tensorflow as tf

        if not is_worker:  # whose devices start when it connects
            tf.constant(0)
    return tf


def environment_of_user() -> dict[str, str]:
    """The environment without what `load_tensorflow` has set for this process."""
    return {name: value for name, value in os.environ.items() if name not in _of_ours}


@contextlib.contextmanager
def _stderr_kept() -> Iterator[None]:
    """Keeps what is written to descriptor 2 inside, and shows it if that raises an error.

    TensorFlow writes there before it has read `TF_CPP_MIN_LOG_LEVEL`
    (github.com/tensorflow/tensorflow/issues/100442). A closed descriptor is opened on nothing:
    otherwise the next file of ours would get its number, and TensorFlow's words.
    """
    try:
        os.fstat(2)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        log = tempfile.TemporaryFile()  # noqa: SIM115
    except OSError:  # no folder takes temporary files: stderr is left as it is
        log = None
    if log is None:
        yield
        return
    if sys.stderr:
        sys.stderr.flush()
    with log:
        stderr = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield
        except Exception:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
