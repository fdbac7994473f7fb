"""Labels that may be wrong, against the definitions of Northcutt 2021 written as loops."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
from hypothesis.extra import numpy as hnp

from tf_textrnn.runs.suspicious import suspicious_labels


@hypothesis.given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(
            hnp.arrays(int, n, elements=st.integers(0, 3)),
            hnp.arrays(float, [n, 4], elements=st.floats(0.01, 1)),
        )
    )
)
def test_a_text_is_suspicious_where_a_more_probable_label_reaches_its_threshold(drawn):
    classes, probability = drawn
    probability = probability / probability.sum(axis=1, keepdims=True)
    thresholds = {
        j: np.mean([p[j] for p, given in zip(probability, classes, strict=True) if given == j])
        for j in set(classes.tolist())  # no text of the others: nothing can be confident of them
    }
    expected = {}
    for text, (p, given) in enumerate(zip(probability, classes, strict=True)):
        confident = [j for j in thresholds if p[j] >= thresholds[j]]
        best = max(confident, key=lambda j, p=p: p[j], default=given)
        if p[best] > p[given]:
            expected[text] = best
    texts, suggested = suspicious_labels(classes, probability)
    assert dict(zip(texts.tolist(), suggested.tolist(), strict=True)) == expected
    margins = probability[texts, suggested] - probability[texts, classes[texts]]
    assert (np.diff(margins) <= 0).all()
