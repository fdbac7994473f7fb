"""Loading TensorFlow without its chatter."""

import os
import sys
import tempfile

_SUBGRAPHS = 4  # that a train step runs side by side: two directions, two halves of the batch


def load_tensorflow() -> None:
    """Imports TensorFlow and starts its devices; what it logs meanwhile shows only if that fails.

    Threads go to subgraphs first, and to single ops where cores are left: an LSTM's ops are too
    small to share. `TF_NUM_INTEROP_THREADS` and `TF_NUM_INTRAOP_THREADS` overrule that.

    TensorFlow writes to stderr before it has read `TF_CPP_MIN_LOG_LEVEL`
    (github.com/tensorflow/tensorflow/issues/100442), so the descriptor is turned aside.
    """
    is_worker = bool(os.environ.get("TF_CONFIG"))
    # What TensorFlow has to say of a lost worker, `train.py` says in one line.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3" if is_worker else "2")
    cores = os.cpu_count() or 1
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(cores))
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, cores // _SUBGRAPHS)))
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            import tensorflow as tf

            if not is_worker:  # whose devices start when it connects
                tf.constant(0)
        except Exception:
            log.seek(0)
            os.write(stderr, log.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
