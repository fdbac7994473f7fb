"""Trains a text classifier: flags → a run folder with model, report and TensorBoard files."""

import os

from tf_textrnn import flags


def main(given: dict) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from tf_textrnn.training import loop  # TensorFlow loads only after the flags are read

    folder = loop.run(given)
    print(f"report: {folder.report_text}   confusion matrix: {folder.confusion_matrix}")


if __name__ == "__main__":
    flags.run(main, __doc__)
