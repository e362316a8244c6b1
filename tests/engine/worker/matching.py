"""Whether a compiled grammar takes a text, without a model that would have to write it."""

from __future__ import annotations

from appliance.engine.worker.backends.grammar import GrammarCompiler
from appliance.engine.worker.forms import Form


def takes(compiler: GrammarCompiler, form: Form, text: str) -> bool:
    """From the first token to the last, and it may end there."""
    matcher = compiler._prototype(form).deep_copy()
    tokens = compiler._tokenizer.tokenize_str(text)
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()
