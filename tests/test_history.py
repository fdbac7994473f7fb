"""When a training ends, by the losses of its epochs."""

import pytest

from tf_textrnn.config import TrainingConfig
from tf_textrnn.runs.history import is_trained, kept_epoch


def history(*losses):
    return [{"epoch": epoch, "valid_loss": loss} for epoch, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "ends"),
    [
        ((), False),
        ((1.0,), False),
        ((1.0, 1.1, 1.2), True),
        ((1.0, 0.98, 1.2), False),
        ((1.0, 0.996, 0.992), True),  # it creeps
        ((1.0, 0.996, 0.989), False),  # a gain over the first, two epochs ago
        ((1.0, 0.98, 0.975, 0.971), True),
        ((float("inf"), 1.0, 1.0), False),
    ],
)
def test_patience_waits_for_a_loss_lower_by_a_hundredth_than_at_the_last_gain(losses, ends):
    assert is_trained(history(*losses), TrainingConfig(patience=2)) == ends


def test_the_last_epoch_ends_a_training_and_without_patience_nothing_else():
    flat = history(*[1.0] * 9)
    assert not is_trained(flat, TrainingConfig(patience=0, num_epochs=10))
    assert is_trained(flat, TrainingConfig(patience=0, num_epochs=9))


def test_the_best_epoch_is_kept_even_where_it_is_no_gain():
    assert kept_epoch(history(1.0, 0.996, 0.995))["epoch"] == 2
