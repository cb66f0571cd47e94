"""Every row of the matrix, played in a running system. `pytest tests/faults -k ID` plays one."""

import pytest

from tests.faults import matrix
from tests.faults.conftest import Keeper
from tests.faults.matrix import Row
from tests.faults.play import play


# A stand-in's connection whose peer has reset it before the handshake is the garbage collector's to close.
@pytest.mark.filterwarnings("ignore:.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in matrix.load()])
def test_what_is_promised_of_a_fault_is_what_becomes_of_it(row: Row, keeper: Keeper) -> None:
    good = False
    try:
        problems = play(row, keeper.get())
        good = not problems
    except pytest.skip.Exception:
        good = True
        raise
    finally:
        if not good:
            keeper.discard()
    if problems:
        pytest.fail("\n".join(problems[:20]), pytrace=False)
