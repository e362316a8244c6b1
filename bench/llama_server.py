"""llama.cpp's own HTTP server, as the `xllamacpp` wheel carries it, until standard input closes.

    python bench/llama_server.py MODEL.gguf --places 16 --context 32768

Runs in an environment of its own that has nothing of ours; says its port and version in one line.
"""

import argparse
import json
import os
import sys

import xllamacpp  # type: ignore[import-not-found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--places", type=int, default=16)
    parser.add_argument("--context", type=int, default=32768, help="tokens of all places together")
    options = parser.parse_args()
    # The library writes its log to standard output.
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    parameters.n_parallel = options.places
    parameters.n_ctx = options.context
    # One cache for all: a place may then hold a long prompt, as our engine's may.
    parameters.kv_unified = True
    parameters.port = 0
    server = xllamacpp.Server(parameters)
    port = int(server.listening_address.rsplit(":", 1)[1])
    system = xllamacpp.get_system_info()
    print(json.dumps({"port": port, "version": xllamacpp.__version__, "system": system}), file=said)
    said.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
