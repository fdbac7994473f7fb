"""Imports: `import tf_textrnn` is light, and prediction needs few modules."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import tf_textrnn
from tf_textrnn import ModelConfig, TextRNN

ROOT = pathlib.Path(__file__).parents[1]
# Notes what our modules import: TensorFlow imports Keras, which looks for much by itself.
RECORDER = """
import builtins, sys
imported, real = set(), builtins.__import__
def record(name, globals=None, locals=None, fromlist=(), level=0):
    if globals and globals.get("__name__", "").startswith("tf_textrnn"):
        imported.add(name.partition(".")[0])
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = record
"""


def python(script: str, *arguments: object) -> str:
    """Returns what a fresh process prints, which must hold none of TensorFlow's log lines."""
    process = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=os.sep, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert process.stderr == ""
    return process.stdout


def test_the_package_alone_loads_nothing_of_weight():
    loaded = json.loads(
        python("import json, sys, tf_textrnn; dir(tf_textrnn); print(json.dumps([*sys.modules]))")
    )
    heavy = {"numpy", "scipy", "sklearn", "keras", "tensorflow", "matplotlib", "absl", "tqdm"}
    assert not heavy & set(loaded)
    assert {name for name in loaded if name.startswith("tf_textrnn")} == {
        "tf_textrnn", "tf_textrnn.base", "tf_textrnn.base.version",
    }  # fmt: skip


def test_a_config_needs_the_standard_library_alone():
    script = RECORDER + "import tf_textrnn; tf_textrnn.Config(); print(*imported - {'tf_textrnn'})"
    assert set(python(script).split()) <= sys.stdlib_module_names


def test_prediction_imports_the_predictor_alone(exported):
    script = RECORDER + (
        "import json, tf_textrnn\n"
        "predictor = tf_textrnn.load(sys.argv[1])\n"
        "labels = predictor.predict(['wolf and dog', 'seven']).tolist()\n"
        "ours = [name for name in sys.modules if name.startswith('tf_textrnn')]\n"
        "print(json.dumps([labels, sorted(imported), ours]))\n"
    )
    labels, imported, ours = json.loads(python(script, exported.path))
    assert labels == ["animals", "numbers"]
    assert set(imported) - sys.stdlib_module_names == {
        "google",
        "numpy",
        "tensorflow",
        "tf_textrnn",
    }
    rooms = {name.split(".")[1] for name in ours if "." in name}
    assert rooms == {"api", "base", "config", "predictor"}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_keras_file_is_loaded_by_the_package_alone(tmp_path):
    model = TextRNN(ModelConfig(hidden_size=3, embedding_dim=2), vocab_size=9, num_classes=2)
    inputs = np.array([[2, 3, 4]], np.int32), np.array([3], np.int32)
    scores = model(inputs)
    model.save(tmp_path / "m.keras")
    script = (
        "import sys, tf_textrnn\n"
        "model = tf_textrnn.load(sys.argv[1])\n"
        "import numpy as np\n"
        "inputs = np.array([[2, 3, 4]], np.int32), np.array([3], np.int32)\n"
        "print(*model(inputs).numpy()[0])\n"
    )
    answer = python(script, tmp_path / "m.keras").split()
    np.testing.assert_allclose(np.array(answer, float), scores[0], rtol=1e-5)
    assert type(tf_textrnn.load(tmp_path / "m.keras")) is TextRNN


def test_training_loads_plots_and_languages_when_they_are_used():
    script = RECORDER + (
        "from tf_textrnn import TextRNN\nimport tf_textrnn.training.runner\nprint(*imported)\n"
    )
    assert not {"matplotlib", "babel"} & set(python(script).split())
