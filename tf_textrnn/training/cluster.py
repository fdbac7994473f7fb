"""The processes that `TF_CONFIG` names, checked before anybody waits for a mistake."""

import dataclasses
import json
import os
import re
from typing import Any

from tf_textrnn.base.errors import UserError

HELP = "(docs/distributed.md)"
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")
_JOBS = ("chief", "worker", "ps", "evaluator")
_SHOWN = 100  # characters of what was found


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers that train together, and which of them this process is.

    Attributes:
      jobs: the addresses, host:port, of each job that trains: "chief", one, and "worker".
      index: of this process among all of them, the chief's first.
    """

    jobs: dict[str, list[str]]
    index: int

    @property
    def addresses(self) -> list[str]:
        """Of all workers; the first is the chief's."""
        return [address for addresses in self.jobs.values() for address in addresses]

    def __str__(self) -> str:
        return f"worker {self.index} of {len(self.addresses)}"

    def name(self, index: int) -> str:
        """A worker with its address, for people."""
        return f"worker {index} at {self.addresses[index]}"


def read_cluster() -> Cluster:
    """The cluster of the environment variable TF_CONFIG; one without jobs where there is none.

    Raises:
      UserError: it is not as TensorFlow expects it, or workers could never meet by it.
    """
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"TF_CONFIG: not JSON ({error}) {HELP}") from error
    jobs = _object(_object(config, "an object").get("cluster", {}), "cluster: an object of jobs")
    _check_addresses(jobs)
    training = {job: jobs[job] for job in ("chief", "worker") if jobs.get(job)}
    tasks = [(job, i) for job, addresses in training.items() for i in range(len(addresses))]
    if len(tasks) < 2:
        return Cluster(training, 0)
    task = _object(config.get("task"), 'task: an object of "type" and "index"')
    own_job, index = task.get("type"), task.get("index")
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    own = (own_job, index)
    if type(index) is not int or own not in tasks:
        counts = ", ".join(f"{job} 0 to {len(training[job]) - 1}" for job in training)
        raise _expected(f"task: one of the cluster's that train, {counts}", f"{own_job} {index}")
    return Cluster(training, tasks.index(own))


def _check_addresses(jobs: dict[str, Any]) -> None:
    names: dict[str, str] = {}
    for job, addresses in jobs.items():
        if job not in _JOBS:
            raise _expected(f"cluster: jobs of {', '.join(_JOBS)}", job)
        if not isinstance(addresses, list):
            raise _expected(f"cluster: {job}: a list of addresses", addresses)
        for i, address in enumerate(addresses):
            name = f"{job} {i}"
            try:
                host_and_port(address)
            except (ValueError, TypeError) as error:
                what = f"cluster: {name}: an address host:port with a port of 1 to 65535"
                raise _expected(what, address) from error
            if address in names:
                what = f"cluster: {name}: another address than that of {names[address]}"
                raise _expected(what, address)
            names[address] = name
    if len(jobs.get("chief", ())) > 1:
        raise _expected("cluster: one chief", len(jobs["chief"]))


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of an address such as localhost:2222 or [::1]:2222.

    Raises:
      ValueError: it is not one.
      TypeError: it is no string.
    """
    match = _ADDRESS.fullmatch(address)
    if not match or not 0 < int(match[3]) < 65536:
        raise ValueError(address)
    return match[1] or match[2], int(match[3])


def _object(value: Any, expected: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _expected(expected, value)
    return value


def _expected(what: str, found: Any) -> UserError:
    shown = found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
    return UserError(f"TF_CONFIG: expected {what}; found {shown[:_SHOWN]} {HELP}")
