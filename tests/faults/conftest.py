"""One world for all rows, made anew where a row has left it unfit for the next."""

from collections.abc import Iterator

import pytest

from tests.faults.world import World


class Keeper:
    """Has the world, while it is good."""

    def __init__(self, logs: pytest.TempPathFactory) -> None:
        self._logs = logs
        self._world: World | None = None

    def get(self) -> World:
        """Return a world that serves."""
        if self._world is None:
            self._world = World(self._logs.mktemp("world"))
            self._world.__enter__()
        return self._world

    def discard(self) -> None:
        """End the one that is there: the next row gets another."""
        world, self._world = self._world, None
        if world is not None:
            world.__exit__(None, None, None)


@pytest.fixture(scope="session")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    kept = Keeper(tmp_path_factory)
    yield kept
    kept.discard()
