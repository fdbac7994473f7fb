"""What TensorBoard's tab HParams shows of a tuning: its settings, and each trial by its metric.

Each trial's own events hold its options; here are the metric's values, and which settings the table
and the parallel coordinates have. Written without TensorFlow, whole files each time.
"""

import pathlib
import time
from collections.abc import Iterable, Mapping

from optuna.distributions import BaseDistribution, FloatDistribution
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as api  # `api` itself loads TensorFlow
from tensorboard.summary.writer.record_writer import RecordWriter

from tf_textrnn.base.files import atomic_write
from tf_textrnn.config import Metric
from tf_textrnn.runs.history import kept_epoch, read_history

_FILE = "events.out.tfevents.0.tune"
_RUN = "tune"  # TensorBoard looks for a metric below the run that has the options


def write_settings(
    root: pathlib.Path, distributions: Mapping[str, BaseDistribution], metric: Metric
) -> None:
    """Writes what is varied and measured, into the tuning's own folder.

    Args:
      root: folder of the tuning.
      distributions: of the settings.
      metric: by which the tuning judges.
    """
    settings = [api.HParam(name, _domain(values)) for name, values in distributions.items()]
    metrics = [
        api.Metric(name, group=_RUN, display_name=f"valid {name}")
        for name in measured_names(metric)
    ]
    metrics.append(api.Metric("report/accuracy", display_name="report: accuracy"))
    _write(root / "tensorboard", [(0, api.hparams_config_pb(settings, metrics))])


def write_values(run: pathlib.Path, metric: Metric) -> None:
    """Writes what the epoch has that a run keeps, below the run's own events.

    Args:
      run: its folder; nothing is written where it has no epoch.
      metric: by which the tuning judges.
    """
    history = read_history(run)
    if not history:
        return
    kept = kept_epoch(history)
    fields = measured_names(metric)
    values = [Summary.Value(tag=tag, simple_value=kept[field]) for tag, field in fields.items()]
    _write(run / "tensorboard" / "run" / _RUN, [(kept["step"], Summary(value=values))])


def measured_names(metric: Metric) -> dict[str, str]:
    """What is shown of the validation: fields of `metrics.jsonl` by their tags."""
    return {metric.kind: metric.field, "loss": "valid_loss", "accuracy": "valid_accuracy"}


def _domain(values: BaseDistribution) -> api.RealInterval | api.IntInterval:
    if isinstance(values, FloatDistribution):
        return api.RealInterval(values.low, values.high)
    return api.IntInterval(values.low, values.high)


def _write(folder: pathlib.Path, summaries: Iterable[tuple[int, Summary]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    with atomic_write(folder / _FILE) as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for step, summary in summaries:
            event = Event(wall_time=now, step=step, summary=summary)
            writer.write(event.SerializeToString())
