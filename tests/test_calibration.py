"""Branch weights and calibration error against brute force and plain Python."""

import json

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tf_textrnn.config import Config
from tf_textrnn.data import splits
from tf_textrnn.runs.loaded import load_run
from tf_textrnn.runs.measures import reliability, softmax
from tf_textrnn.training.validation import fit_branch_weights
from tf_textrnn.training.weight_prior import WEIGHT_BOUNDS


def draw(texts, branches, classes, seed=0):
    """Draws scores, and classes by the probabilities of their weighted sum."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=[texts, branches, classes]).astype(np.float32) * 2
    return random, scores


def penalized_loss(weights, scores, classes):
    mixed = np.einsum("b,tbc->tc", weights, scores.astype(np.float64))
    losses = np.logaddexp.reduce(mixed, axis=1) - mixed[np.arange(len(classes)), classes]
    usual = np.array([0.2, 0.8])
    return losses.sum() + 0.5 * np.sum((np.log(weights / usual) / 0.5) ** 2)


@pytest.mark.parametrize("true_weights", [[0.4], [2.5], [0.3, 1.2], [1.5, 0.1]])
def test_the_weights_that_made_the_labels_are_found(true_weights):
    random, scores = draw(20_000, len(true_weights), 3)
    probability = softmax(np.einsum("b,tbc->tc", true_weights, scores))
    classes = (probability.cumsum(axis=1) < random.random([len(scores), 1])).sum(axis=1)
    found = fit_branch_weights(scores, classes)
    np.testing.assert_allclose(found, true_weights, atol=0.05)


def test_no_other_weights_do_better():
    random, scores = draw(60, 2, 4, seed=1)
    classes = random.integers(0, 4, 60)
    best = penalized_loss(fit_branch_weights(scores, classes), scores, classes)
    grid = np.linspace(*WEIGHT_BOUNDS, 150)
    others = [penalized_loss([a, b], scores, classes) for a in grid[:40] for b in grid[:40]]
    assert best <= min(others) + 1e-6


@pytest.mark.parametrize("seed", range(12))
def test_no_other_weights_do_better_at_the_bounds(seed):
    """Fits scores whose best weights lie beyond the bounds, or have another sign."""
    random, scores = draw(40, 2, 3, seed=100 + seed)
    scores *= random.choice([0.01, 0.1, 30.0], size=[1, 2, 1]) * random.choice(
        [-1.0, 1.0], [1, 2, 1]
    )
    classes = scores.sum(axis=1).argmax(axis=1)
    noise = random.random(40) < 0.2
    classes[noise] = random.integers(0, 3, noise.sum())
    found = fit_branch_weights(scores, classes)
    grid = np.unique(np.concatenate([np.geomspace(*WEIGHT_BOUNDS, 60), np.linspace(0.1, 1, 30)]))
    least = min(penalized_loss([a, b], scores, classes) for a in grid for b in grid)
    assert penalized_loss(found, scores, classes) <= least + 1e-6
    assert np.all((found >= WEIGHT_BOUNDS[0]) & (found <= WEIGHT_BOUNDS[1]))


def test_few_texts_hardly_move_the_weights():
    scores = np.array([[[3.0, -3.0], [0.1, -0.1]]] * 3, np.float32)  # the network is sure
    for classes in (np.zeros(3, int), np.ones(3, int)):  # and right, or wrong
        found = fit_branch_weights(scores, classes)
        np.testing.assert_allclose(found, [0.2, 0.8], rtol=0.5)


def test_weights_stay_finite_and_positive():
    classes = np.array([0, 1, 0, 1])
    certain = np.stack([np.eye(2)[classes]] * 2, axis=1).astype(np.float32)
    for scores in (certain, certain * 1e4, -certain, certain * 0):
        weights = fit_branch_weights(scores, classes)
        assert np.all((weights >= WEIGHT_BOUNDS[0]) & (weights <= WEIGHT_BOUNDS[1]))
        assert np.isfinite(softmax(np.einsum("b,tbc->tc", weights, scores))).all()


def test_the_calibration_error_is_the_mean_gap_of_the_bins():
    # .5 and .52 share a bin of width 1/15, .9 and 1 stand alone.
    confidence = np.array([0.5, 0.52, 0.9, 1.0])
    found = reliability(confidence, np.array([True, False, False, True]))
    gaps = [abs(0.51 - 0.5) * 2, 0.9, 0.0]
    np.testing.assert_allclose(found.error, sum(gaps) / 4, atol=1e-12)
    assert found.texts.sum() == 4


def test_probabilities_that_are_true_have_no_error():
    random, scores = draw(50_000, 1, 3, seed=2)
    probability = softmax(scores[:, 0])
    classes = (probability.cumsum(axis=1) < random.random([len(scores), 1])).sum(axis=1)
    for given, is_true in ((probability, True), (softmax(scores[:, 0] * 3), False)):
        found = reliability(given.max(axis=1), given.argmax(axis=1) == classes)
        assert found.error < 0.01 if is_true else found.error > 0.1


def test_a_report_measures_each_branch_as_it_was_before_it_was_weighed(finished, small_options):
    run = load_run(finished)
    data = splits.load(Config().replace(**small_options).settled())
    batch = data.valid.batch(np.arange(len(data.valid)))
    inputs = (tf.constant(batch.token_ids), tf.constant(batch.lengths))
    report = json.loads(finished.report_json.read_text())
    assert sum(run.branch_weights) == pytest.approx(1)
    branches = run.model.branch_scores(inputs)
    found = zip(("network", "ngrams"), branches, run.branch_weights, strict=True)
    for name, scores, weight in found:
        branch = (scores.numpy() / weight)[:, None]
        fitted = fit_branch_weights(branch, batch.labels)
        log = special.log_softmax(fitted * branch[:, 0], axis=1)
        loss = -log[np.arange(len(log)), batch.labels].mean()
        assert report[f"{name}_loss"] == pytest.approx(loss, rel=1e-4)
