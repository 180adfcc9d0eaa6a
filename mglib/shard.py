"""A share of a grid for one job of a cluster: 'k/K', the keys that fall to the k-th of K jobs."""

from __future__ import annotations

import re

from mglib.errors import MglibError


def check_shard(shard: str) -> tuple[int, int]:
    """k and K of 'k/K', k from 1 to K; 1 and 1 of nothing. Raises MglibError for another text."""
    if not shard:
        return 1, 1
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise MglibError(f"shard '{shard}' is not of the form k/K with k from 1 to K, such as 2/8")
    return int(match[1]), int(match[2])


def in_shard(key: str, shard: str) -> bool:
    """Whether a key belongs to a shard; as in `check_shard`."""
    number, of = check_shard(shard)
    return int(key, 16) % of == number - 1
