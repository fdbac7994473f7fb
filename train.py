"""Trains a text classifier: flags → a run folder with the model, a report and its history."""

from tf_textrnn.base import flags
from tf_textrnn.base.startup import load_tensorflow


def main(given: dict) -> None:
    load_tensorflow()  # only now: --help and mistakes in flags answer at once
    from tf_textrnn.training import runner

    finished = runner.run(given)
    if finished is None:  # the chief reports and exports
        return
    folder = finished.folder
    print(f"report: {folder.report_text}   confusion matrix: {folder.confusion_matrix}")
    print(f"to see it learn:  tensorboard --logdir {folder.path}")
    if finished.config.run.export:
        from tf_textrnn.exporting.saved_model import export_run

        model = export_run(str(folder.path))
        print(f'to classify text: python -m export.predict --model {model} "your text"')


if __name__ == "__main__":
    flags.run(main, __doc__)
