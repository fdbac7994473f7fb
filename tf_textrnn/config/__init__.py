"""The options of a run."""

from tf_textrnn.config.config import INHERITED, Config, check_options, option_fields
from tf_textrnn.config.metric import Metric, read_metric
from tf_textrnn.config.sections import (
    EXPORT_FORMATS,
    MAX_TEXT_TOKENS,
    POOLINGS,
    DataConfig,
    FileConfig,
    ModelConfig,
    RunConfig,
    TextConfig,
    TrainingConfig,
)
from tf_textrnn.config.threshold import ThresholdRule, threshold_rule

__all__ = [
    "EXPORT_FORMATS",
    "INHERITED",
    "MAX_TEXT_TOKENS",
    "POOLINGS",
    "Config",
    "DataConfig",
    "FileConfig",
    "Metric",
    "ModelConfig",
    "RunConfig",
    "TextConfig",
    "ThresholdRule",
    "TrainingConfig",
    "check_options",
    "option_fields",
    "read_metric",
    "threshold_rule",
]
