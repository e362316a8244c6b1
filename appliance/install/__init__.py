"""Set-up before anything is installed: standard library only, and nothing else of the appliance.

A usual start goes through `handover` and `completeness` alone. Set-up is `environment`, which
follows the `recipe` for this `machine`, with `venv`, `pip`, `progress` and `lock` as its hands.
"""
