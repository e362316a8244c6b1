"""Secrets are masked before they are written, and ordinary words stay."""

from __future__ import annotations

import pytest

from appliance.ledger.masking import CARD, KEY, PASSWORD, PRIVATE_KEY, TOKEN, masked
from appliance.ledger.secret import new_secret
from tests.ledger.support import Ledger

pytestmark = pytest.mark.anyio

LETTERS = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"
JWT = f"eyJ{LETTERS}.eyJ{LETTERS}.{LETTERS}"


@pytest.mark.parametrize(
    ("secret", "instead"),
    [
        pytest.param(new_secret(), KEY, id="ours"),  # the same name in every process
        (f"sk-proj-{LETTERS}", KEY),
        (f"sk-ant-api03-{LETTERS}", KEY),
        (f"ghp_{LETTERS}", KEY),
        (f"github_pat_{LETTERS}", KEY),
        (f"glpat-{LETTERS[:20]}", KEY),
        (f"hf_{LETTERS[:34]}", KEY),
        (f"xoxb-{LETTERS[:24]}", KEY),
        (f"AIza{LETTERS[:35]}", KEY),
        ("AKIAIOSFODNN7EXAMPLE", KEY),
        (f"sk_live_{LETTERS}", KEY),
        (JWT, TOKEN),
        (PEM, PRIVATE_KEY),
        (PEM[:40], PRIVATE_KEY),
        ("4111 1111 1111 1111", CARD),
        ("5500-0000-0000-0004", CARD),
        ("378282246310005", CARD),
        ("6212345678901232", CARD),
    ],
)
def test_a_secret_is_replaced_and_nothing_around_it(secret: str, instead: str) -> None:
    assert masked(f"here: {secret}") == f"here: {instead}"
    if secret != PEM[:40]:
        assert masked(f"“{secret}”, 好吗？") == f"“{instead}”, 好吗？"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Authorization: Bearer {LETTERS}", f"Authorization: Bearer {TOKEN}"),
        (f"API_KEY={LETTERS}", f"API_KEY={KEY}"),
        (f'{{"client_secret": "{LETTERS}"}}', f'{{"client_secret": "{KEY}"}}'),
        ("postgres://me:hunter2@db/x", f"postgres://me:{PASSWORD}@db/x"),
    ],
)
def test_the_name_of_a_secret_stays(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "the order 1234567890123456 of 2026-08-01",
        "0.4111111111111111",
        "token = get_token_from_environment()",
        "password: must_be_long_enough",
        "a task-force and a risk-free sk-1",
        "The Bearer of this letter",
        "https://example.org/a@b and http://localhost:8000/v1",
        "public key: -----BEGIN PUBLIC KEY-----",
        "01J0000000000000000000000A",
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert masked(text) == text


@pytest.mark.sqlite
async def test_neither_question_nor_answer_nor_call_carries_a_secret_into_the_file(
    ledger: Ledger,
) -> None:
    secret = f"sk-proj-{LETTERS}"
    request_id = ledger.record(
        asked={
            "input": [{"role": "user", "content": f"Is {secret} mine?"}],
            "tools": [{"name": "check", "parameters": {"default": secret}}],
            "form": {"enum": [secret]},
        },
        answered={
            "output": f"Yes, {secret}.",
            "reasoning": f"They ask about {secret}.",
            "tool_calls": [{"id": "1", "name": "check", "arguments": f'{{"key": "{secret}"}}'}],
            "error": f"refused {secret}",
        },
    )
    detail = await ledger.queries.request(request_id, owner=None)
    assert detail is not None
    assert detail.generation is not None
    assert detail.generation.input == [{"role": "user", "content": f"Is {KEY} mine?"}]
    assert detail.generation.output == f"Yes, {KEY}."
    assert detail.generation.tools == [{"name": "check", "parameters": {"default": KEY}}]
    assert detail.generation.form == {"enum": [KEY]}
    for file in ledger.file.parent.glob("appliance.db*"):
        assert secret.encode() not in file.read_bytes()
