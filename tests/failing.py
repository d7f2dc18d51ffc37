"""Commands that fail, for tests."""

import pytest

from lowbeam.cli import app as cli
from lowbeam.errors import LowbeamError


def said_by(*arguments: object) -> str:
    """The message of a command that fails."""
    with pytest.raises(LowbeamError) as raised:
        cli.run([*map(str, arguments)])
    return str(raised.value)
