"""Text classification with recurrent networks, in TensorFlow 2 and Keras 3.

The names below load when they are used, so `import tf_textrnn` itself imports neither TensorFlow
nor NumPy.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tf_textrnn.base.version import __version__

if TYPE_CHECKING:
    from tf_textrnn.api import load, train
    from tf_textrnn.classifier import TextClassifier
    from tf_textrnn.config import Config, ModelConfig
    from tf_textrnn.network.model import TextRNN

__all__ = [
    "Config",
    "ModelConfig",
    "TextClassifier",
    "TextRNN",
    "__version__",
    "load",
    "train",
]

_MODULES = {
    "Config": "tf_textrnn.config",
    "ModelConfig": "tf_textrnn.config",
    "TextClassifier": "tf_textrnn.classifier",
    "TextRNN": "tf_textrnn.network.model",
    "load": "tf_textrnn.api",
    "train": "tf_textrnn.api",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "TextRNN":
        from tf_textrnn.base.startup import load_tensorflow

        load_tensorflow()  # without its chatter
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
