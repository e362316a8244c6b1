"""Measures an OpenAI-compatible server from outside, by what its users wait for."""

from appliance.bench.report import render, to_json
from appliance.bench.result import BenchResult, Level, Spread
from appliance.bench.run import bench

__all__ = ["BenchResult", "Level", "Spread", "bench", "render", "to_json"]
