"""TF_CONFIG: which workers train together, and the mistakes in it."""

import pytest

from tf_textrnn.base.errors import UserError
from tf_textrnn.training.cluster import Cluster, read_cluster

CLUSTER = '{"cluster": {"worker": ["a:1", "b:1"]}%s}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ({}, 0)),
        ('{"cluster": {}, "task": {"type": "worker", "index": 0}}', ({}, 0)),
        ('{"cluster": {"worker": ["a:1"]}}', ({"worker": ["a:1"]}, 0)),
        (
            CLUSTER % ', "task": {"type": "worker", "index": 1}',
            ({"worker": ["a:1", "b:1"]}, 1),
        ),
        (
            '{"cluster": {"worker": ["b:1", "[::1]:2"], "chief": ["a-b.c_d:65535"], '
            '"evaluator": ["d:1"]}, "task": {"type": "worker", "index": "1"}}',
            ({"chief": ["a-b.c_d:65535"], "worker": ["b:1", "[::1]:2"]}, 2),
        ),
    ],
)
def test_the_cluster_of_tf_config(monkeypatch, text, expected):
    monkeypatch.setenv("TF_CONFIG", text)
    assert read_cluster() == Cluster(*expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "TF_CONFIG: not JSON (Expecting"),
        ("[" * 100_000, "TF_CONFIG: not JSON (maximum recursion"),
        ("[]", "TF_CONFIG: expected an object; found [] (docs/distributed.md)"),
        ("5", "expected an object; found 5"),
        ("null", "expected an object; found null"),
        ('"worker"', "expected an object; found worker"),
        ('{"cluster": "a:1"}', "expected cluster: an object of jobs; found a:1"),
        ('{"cluster": {"workers": []}}', "jobs of chief, worker, ps, evaluator; found workers"),
        ('{"cluster": {"worker": "a:1"}}', "cluster: worker: a list of addresses; found a:1"),
        ('{"cluster": {"worker": {"0": "a:1"}}}', 'a list of addresses; found {"0": "a:1"}'),
        ('{"cluster": {"worker": [5, "b:1"]}}', "cluster: worker 0: an address host:port with"),
        ('{"cluster": {"worker": ["a", "b:1"]}}', "with a port of 1 to 65535; found a "),
        ('{"cluster": {"worker": ["a:1", "b:0"]}}', "cluster: worker 1: an address host:port"),
        ('{"cluster": {"worker": ["a:1", "b:65536"]}}', "1 to 65535; found b:65536"),
        ('{"cluster": {"worker": ["a:1", "b:x"]}}', "1 to 65535; found b:x"),
        ('{"cluster": {"worker": ["a:1", "b c:1"]}}', "1 to 65535; found b c:1"),
        ('{"cluster": {"worker": ["a:1", "grpc://b:1"]}}', "found grpc://b:1"),
        ('{"cluster": {"worker": ["a:1", "\\u001b:1"]}}', "found \\x1b:1"),
        (
            '{"cluster": {"worker": ["a:1", "b:1"], "chief": ["b:1"]}}',
            "cluster: chief 0: another address than that of worker 1; found b:1",
        ),
        ('{"cluster": {"chief": ["a:1", "b:1"]}}', "cluster: one chief; found 2"),
        (CLUSTER % "", 'task: an object of "type" and "index"; found null'),
        (CLUSTER % ', "task": 5', 'task: an object of "type" and "index"; found 5'),
        (
            CLUSTER % ', "task": {"type": "worker", "index": 2}',
            "task: one of the cluster's that train, worker 0 to 1; found worker 2",
        ),
        (CLUSTER % ', "task": {"type": "worker", "index": true}', "found worker True"),
        (CLUSTER % ', "task": {"type": "worker", "index": 0.0}', "found worker 0.0"),
        (CLUSTER % ', "task": {"type": "ps", "index": 0}', "found ps 0"),
        (CLUSTER % ', "task": {"type": [], "index": 0}', "found [] 0"),
    ],
)
def test_a_mistake_in_tf_config_is_one_line(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError) as error:
        read_cluster()
    assert message in str(error.value)
    assert str(error.value).startswith("TF_CONFIG: ")
    assert str(error.value).endswith("(docs/distributed.md)")
    assert len(str(error.value)) < 300
