from __future__ import annotations

import pytest

from appliance.errors import RateLimited
from appliance.gateway.identity import Caller
from appliance.gateway.limits import RateLimits

pytestmark = pytest.mark.anyio


def caller(name: str, rate: str | None = None) -> Caller:
    return Caller(
        name=name, is_admin=False, client_ip="10.0.0.1", via="key", key_id=name, rate=rate
    )


async def test_no_limit_unless_one_is_set() -> None:
    limits = RateLimits(None)
    for _ in range(100):
        await limits.check(caller("anna"))


async def test_each_caller_has_an_allowance_of_their_own() -> None:
    limits = RateLimits("2/minute")
    for name in ("anna", "anna", "ben", "ben"):
        await limits.check(caller(name))
    with pytest.raises(RateLimited, match="2/minute for anna") as caught:
        await limits.check(caller("anna"))
    assert caught.value.retry_after is not None
    assert 1 <= caught.value.retry_after <= 60


async def test_a_keys_own_rate_wins_over_the_default() -> None:
    limits = RateLimits("1/minute")
    for _ in range(3):
        await limits.check(caller("anna", rate="3/minute"))
    with pytest.raises(RateLimited, match="3/minute"):
        await limits.check(caller("anna", rate="3/minute"))
