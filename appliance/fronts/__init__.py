"""`--workers N`: further processes that serve the API beside the first one, on the same port.

The first front owns everything that there is once: the data folder, the engine, pages and their
runs. A further front serves the API's dialects itself and relays every other request to it.
"""
