"""`textrnn study`: what its experiments find, and what the command leaves and refuses."""

import numpy as np
import tensorflow as tf

from tf_textrnn import cli
from tf_textrnn.study import sections, spelling
from tf_textrnn.study.remedies import flow_penalty


def test_the_command_writes_a_figure_a_section_and_prints_the_table_that_it_writes(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(spelling, "TRUNCATIONS", {"1 step": 1})
    folder = tmp_path / "made" / "study"
    assert cli.run(["study", "spelling", "--quick", f"--output_dir={folder}"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["study.txt", "study_spelling.png"]
    assert (folder / "study_spelling.png").read_bytes().startswith(b"\x89PNG")
    table = (folder / "study.txt").read_text(encoding="utf-8")
    assert "\n| 1 step | " in table
    assert table in capsys.readouterr().out


def test_an_unknown_section_is_one_line_that_names_the_sections(capsys):
    assert cli.run(["study", "spelling", "memories"]) == 2
    expected = f"error: study memories: expected a section, one of {', '.join(sections.SECTIONS)}\n"
    assert capsys.readouterr() == ("", expected)


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
