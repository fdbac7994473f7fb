"""`textrnn study`: what its experiments find, and what the command leaves and refuses."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_textrnn import cli
from tf_textrnn.network.gradient_flow import Flow
from tf_textrnn.network.leaky import LeakyCell
from tf_textrnn.study import (
    both_sides,
    gradient_flow,
    memory,
    pooling,
    remedies,
    sections,
    spelling,
)
from tf_textrnn.study.remedies import flow_penalty


def test_the_command_writes_a_figure_a_section_and_prints_the_table_that_it_writes(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(spelling, "TRUNCATIONS", {"1 step": 1})
    monkeypatch.setattr(memory, "CELLS", {remedies.REGULARIZED: remedies.rnn})
    monkeypatch.setattr(memory, "QUICK_STEPS", 2)
    monkeypatch.setattr(pooling, "POOLINGS", ("max",))
    monkeypatch.setattr(pooling, "ASKED_TEXTS", 10)
    some = pooling.Names({language: [f"{language}land"] for language in pooling.LANGUAGES})
    monkeypatch.setattr(pooling, "names", lambda: {"train": some, "test": some})
    names = ["spelling", "memory", "pooling"]
    folder = tmp_path / "made" / "study"
    assert cli.run(["study", *names, "--quick", f"--output_dir={folder}"]) == 0
    figures = [folder / f"study_{name}.png" for name in names]
    assert sorted(folder.iterdir()) == sorted([folder / "study.txt", *figures])
    assert all(figure.read_bytes().startswith(b"\x89PNG") for figure in figures)
    shown = capsys.readouterr().out
    tables = (folder / "study.txt").read_text(encoding="utf-8").split("\n\n## ")
    rows = ("1 step", "adding: rnn, regularized", "max")
    for table, row in zip(tables, rows, strict=True):
        assert f"\n| {row} | " in table
        assert table.strip() in shown


def test_gradients_are_a_section_like_the_others(tmp_path, capsys, monkeypatch):
    flow = Flow("rnn forward", np.array([1.0, 0.25]), 0.5)
    monkeypatch.setattr(gradient_flow, "experiments", lambda quick: {"rnn": lambda: flow})
    for line in (["study", "gradients"], ["study", "spelling", "gradients", "--quick"]):
        monkeypatch.setattr(spelling, "TRUNCATIONS", {"1 step": 1})
        assert cli.run([*line, f"--output_dir={tmp_path}"]) == 0
        assert "| rnn | 1 | 0.25 | 0.25 | 0.5 |" in (tmp_path / "study.txt").read_text("utf-8")
        assert "| rnn | 1 | 0.25 | 0.25 | 0.5 |" in capsys.readouterr().out
    assert cli.run(["study", "gradients", f"--output={tmp_path / 'only.png'}"]) == 0
    names = {"only.png", "study.txt", "study_gradients.png", "study_spelling.png"}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_an_unknown_section_is_one_line_that_names_the_sections(capsys):
    assert cli.run(["study", "spelling", "memories"]) == 2
    expected = f"error: study memories: expected a section, one of {', '.join(sections.SECTIONS)}\n"
    assert capsys.readouterr() == ("", expected)
    assert all(name in sections.__doc__ for name in sections.SECTIONS), "what --help shows"


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_trained(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.run(["study", f"--output_dir={tmp_path / 'file' / 'study'}"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"error: --output_dir={tmp_path / 'file' / 'study'}: cannot be made (")


def test_spelling_is_learned_better_where_the_gradient_goes_back_farther():
    one, four = spelling.learn(1, 400), spelling.learn(4, 400)
    assert one.losses[0] > 3.0, "about the logarithm of 28 characters"
    assert four.losses[-5:].mean() < one.losses[-5:].mean() - 0.03 < 1.4


def test_a_word_is_guessed_better_from_both_sides_than_from_its_left():
    left, both = (both_sides.guess(True, reads_right, 250) for reads_right in (False, True))
    animal = both_sides.PARTS.index("animal")
    assert both.accuracy.mean() > left.accuracy.mean() + 0.15
    assert both.accuracy[animal] == 1.0, "its number stands on the left, its voice on the right"
    assert left.accuracy[animal] < 0.2, "one of eight"
    chance = [1 / len(words) for words in (both_sides.ADJECTIVES, both_sides.PLACES)]
    parts = [both_sides.PARTS.index(part) for part in ("adjective", "place")]
    np.testing.assert_allclose(both.accuracy[parts], chance, atol=0.05)


def test_tasks_of_memory_ask_for_what_stands_at_the_start():
    random = np.random.default_rng(1)
    inputs, targets = memory.first_symbol(random, 20, 7)
    assert inputs.shape == (20, 8, 8)
    np.testing.assert_array_equal(inputs[:, 0].argmax(axis=1), targets)
    inputs, targets = memory.adding(random, 20, 7)
    numbers, marks = inputs[..., 0], inputs[..., 1]
    assert (marks[:, 0] == 1).all() and (marks.sum(axis=1) == 2).all()
    np.testing.assert_allclose((numbers * marks).sum(axis=1), targets, rtol=1e-6)
    by_guess = memory.TASKS["adding"]
    _, targets = memory.adding(random, 20_000, 7)
    assert abs(by_guess.accuracy(np.ones([20_000, 1]), targets) - by_guess.chance) < 0.01


def test_texts_of_several_names_are_of_one_language():
    names = pooling.Names({language: [language, "x"] for language in pooling.LANGUAGES})
    token_ids, lengths, labels = names.texts(np.random.default_rng(1), 30, 3, names.characters)
    for ids, length, label in zip(token_ids, lengths, labels, strict=True):
        text = "".join(names.characters[i] for i in ids[:length])
        assert len(text) == length and not ids[length:].any(), "padded on the right"
        assert set(text.split(" ")) <= {pooling.LANGUAGES[label], "x"}
        assert text.count(" ") == 2


@pytest.mark.slow
def test_the_claims_of_the_article_hold_on_what_the_study_returns():
    asked = {
        task: {
            cell: memory.train(cell, memory.TASKS[task], memory.TASKS[task].steps).accuracy[-1]
            for cell in ("rnn", "rnn, two time scales", "gru", "lstm, forget bias 1")
        }
        for task in memory.TASKS
    }
    assert memory.LAGS[-1] == 50
    for task, accuracy in asked.items():
        assert accuracy["lstm, forget bias 1"] > 0.95
        assert accuracy["gru"] > 0.95
        assert accuracy["rnn"] < 0.8, task
    assert asked["adding"]["rnn"] < 0.25, "as by chance"
    assert asked["first symbol"]["rnn, two time scales"] > 0.95

    mean, last = (pooling.train(kind).accuracy for kind in ("mean", "last"))
    assert mean[-1] > last[-1] + 0.05, "sixteen names, after a training on one to four"
    assert abs(mean[:3] - last[:3]).max() < 0.08

    losses = {name: run().losses for name, run in spelling.experiments(quick=False).items()}
    assert losses["1 step"][-1] > max(losses[name][-1] for name in losses if name != "1 step")


@pytest.mark.slow
def test_the_quick_study_ends_with_every_section(tmp_path):
    assert cli.run(["study", "--quick", f"--output_dir={tmp_path}"]) == 0
    figures = {f"study_{name}.png" for name in sections.SECTIONS}
    assert {path.name for path in tmp_path.iterdir()} == {"study.txt", *figures}


def test_a_leaky_unit_is_a_gru_whose_gates_stand_still():
    units, leak = 3, 0.3
    inputs = tf.random.stateless_normal([2, 6, 4], seed=[1, 2])
    leaky = keras.layers.RNN(LeakyCell(units, leak=leak, bias_initializer="uniform"))
    gru = keras.layers.GRU(units)
    gru.build(inputs.shape)
    expected = leaky(inputs)
    kernel, recurrent_kernel, bias = leaky.get_weights()
    z, r = np.log((1 - leak) / leak), 30.0  # before the logistic function: 1 - leak and 1
    gates = np.zeros([len(kernel), 2 * units]), np.zeros([units, 2 * units])
    biases = np.zeros([2, 3 * units])
    biases[0] = np.concatenate([[z] * units, [r] * units, bias])
    gru.set_weights(
        [np.hstack([gates[0], kernel]), np.hstack([gates[1], recurrent_kernel]), biases]
    )
    np.testing.assert_allclose(gru(inputs), expected, atol=1e-6)


def test_the_page_has_the_tables_of_its_command():
    docs = pathlib.Path(__file__).parents[1] / "docs"
    page = (docs / "study.md").read_text(encoding="utf-8")
    tables = (docs / "images" / "study.txt").read_text(encoding="utf-8").split("\n## ")
    assert len(tables) == len(sections.SECTIONS)
    for table in tables:
        assert table.partition("\n\n")[2].strip() in page


def test_the_regularizer_is_pascanus_and_its_gradient_the_immediate_one():
    """Follows eq. 9 and 10 of the paper text by text in float64, and takes differences of eq. 9."""
    random = np.random.default_rng(1)
    texts, time, hidden = 3, 5, 4
    states = np.tanh(random.normal(size=[texts, time, hidden]))
    d_last = random.normal(size=[texts, hidden])
    kernel = random.normal(size=[hidden, hidden])

    def errors_of(text):
        """Returns e_1 … e_T, ∂loss/∂a_t, through every later step."""
        errors = [d_last[text] * (1 - states[text, -1] ** 2)]
        for t in reversed(range(time - 1)):
            errors.insert(0, (1 - states[text, t] ** 2) * (kernel @ errors[0]))
        return errors

    constants = [errors_of(text) for text in range(texts)]

    def penalty(moved):
        terms = []
        for text, errors in enumerate(constants):
            for t in range(time - 1):
                jacobian = np.diag(1 - states[text, t] ** 2) @ moved  # of a_{t+1} by a_t
                carried = jacobian @ errors[t + 1]
                terms.append((np.linalg.norm(carried) / np.linalg.norm(errors[t + 1]) - 1) ** 2)
        return np.mean(terms)

    variable = tf.Variable(kernel)
    with tf.GradientTape() as tape:
        found = flow_penalty(variable, tf.constant(states), tf.constant(d_last))
    np.testing.assert_allclose(found, penalty(kernel), rtol=1e-9)
    gradient = tape.gradient(found, variable).numpy()
    step = 1e-6
    for index in np.ndindex(hidden, hidden):
        unit = np.zeros_like(kernel)
        unit[index] = step
        difference = (penalty(kernel + unit) - penalty(kernel - unit)) / (2 * step)
        assert abs(difference - gradient[index]) <= 1e-6
