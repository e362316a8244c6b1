"""Entry point of the engine process; `appliance.engine.config` says how to talk to it."""

from __future__ import annotations

from appliance.engine.worker.process import main

if __name__ == "__main__":
    main()
