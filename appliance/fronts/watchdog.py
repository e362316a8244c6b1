"""A further front that is not dead and does nothing: noticed by its silence, and ended.

Whoever keeps the fronts then starts it again. Its own thread of the life line could not notice: it
reads while the event loop stands.
"""

from __future__ import annotations

import asyncio
import logging

from appliance.fronts.desk import Desk
from appliance.fronts.lines import BEAT_SECONDS
from appliance.fronts.process import FrontProcess

logger = logging.getLogger(__name__)
# Longer than reading the largest body takes on a slow machine.
SILENT_BEATS = 15
ABORT_SECONDS = 1.0


async def end_if_it_hangs(number: int, process: FrontProcess, desk: Desk) -> None:
    """Looks on until the front has said nothing for too long, then ends it.

    Only while it serves: its start and its end take what they take. Beats are counted by our own
    loop, so that one that was late itself blames nobody.
    """
    silent, heard = 0, desk.heard
    while silent < SILENT_BEATS:
        await asyncio.sleep(BEAT_SECONDS)
        silent = silent + 1 if desk.serves and desk.heard == heard else 0
        heard = desk.heard
    seconds = SILENT_BEATS * BEAT_SECONDS
    logger.error("Front %s has not moved for %.0f s and is ended", number, seconds)
    process.abort()
    await asyncio.sleep(ABORT_SECONDS)
    process.kill()
