"""What one part of the house logged while others, of other tests too, logged beside it."""

from __future__ import annotations

import logging
from types import ModuleType

import pytest


def said_by(part: ModuleType, caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    # `caplog` hears all of the process: a server that another test shares logs in its own thread.
    return [record for record in caplog.records if record.name == part.__name__]
