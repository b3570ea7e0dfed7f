"""Accidents that befall a share of all requests, by chance."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

from tests.support.faultproxy import (
    Accident,
    Exchange,
    FaultProxy,
    close_after_effect,
    html,
    invalid_json,
    late,
    passed,
    reset_after_effect,
    reset_before_read,
    short_body,
    status,
    without_id,
)

CREATES = ("CreateFineTuningJob", "CreateFineTuningTask", "publishTrainModel")
LOOKS = (
    "DescribeFineTuningJobs",
    "DescribeFineTuningTasks",
    "DescribeFineTuningTask",
    "DeleteFineTuningJob",
    "DescribeModelSet",
    "modelVersionDetail",
)
ONCE = ("info", "DescribeFineTuningSupportModels")
"""What is asked once, where a page in place of the answer is an error to be told: the run fails, and can be resumed."""

LINE: dict[str, Accident] = {
    "reset before": reset_before_read,
    "reset after": reset_after_effect,
    "closed after": close_after_effect,
    "short": short_body,
    "500 after": status(500, effect=True),
    "502": status(502, effect=False),
    "504 after": status(504, effect=True),
    "429": status(429, headers={"Retry-After": "0"}, effect=False),
    "late": late(0.2),
    "later": late(0.8),
}
PAGES: dict[str, Accident] = {"a page": html, "half the answer": invalid_json}


def befall(proxy: FaultProxy, share: float, rng: Random) -> Counter[str]:
    """Let a share of the requests meet with an accident from now on; counts which, as they happen."""
    happened = Counter[str]()

    def at_random(accidents: dict[str, Accident]) -> Accident:
        async def accident(exchange: Exchange) -> None:
            if rng.random() >= share:
                await passed(exchange)
                return
            name = rng.choice([*accidents])
            happened[name] += 1
            await accidents[name](exchange)

        return accident

    for call in (*CREATES, *LOOKS, *ONCE):
        known = LINE if call in ONCE else LINE | PAGES | ({"no id": without_id} if call in CREATES else {})
        proxy.script(call, at_random(known), times=math.inf)
    return happened
