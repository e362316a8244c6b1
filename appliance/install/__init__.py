"""Set-up before anything is installed: standard library only, and nothing else of the appliance.

`recipe` says what to install, `machine` what this computer has, `pip` runs the installer and puts
its failures into words, `environment` keeps `.venv` and knows when it is complete.
"""
