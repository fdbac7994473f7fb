"""What a request is refused with. Standard library only."""

from collections.abc import Mapping
from types import MappingProxyType


class ApiError(Exception):
    """A request that has no answer: an HTTP status and one sentence for whoever sent it."""

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] = MappingProxyType({})
    ):
        super().__init__(message)
        self.status = status
        self.headers = dict(headers)
