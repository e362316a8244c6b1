"""Our engine process: OpenAI's wire on a loopback port, over one of two batching libraries.

Runs by itself (`python -m appliance.engine.worker`); nothing outside this folder imports it.
"""
