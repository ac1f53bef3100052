"""Draws: m of a pool's n rows at random, by a seed that is recorded; a question about them costs what any costs.

A question about m rows is answered from m labels, with the certainty that m rows give: the plan's rows are the least.
What is spared is work (m predictions) and the sight of the other rows.
"""

import secrets
from typing import Final

from foldstore.datastore.storage import Storage
from foldstore.errors import RefusedError, UsageError
from foldstore.validation.pools.account import Account, DrawnRows
from foldstore.validation.pools.ledger import Ledger
from foldstore.validation.pools.pool import PoolRecord
from foldstore.validation.pools.submission import require_answers

_SEED_BITS: Final = 62


def draw_rows(storage: Storage, pool: PoolRecord, rows: int, *, seed: int | None = None, actor: str) -> DrawnRows:
    """Draw rows and record which; nothing is charged before they are asked.

    Parameters
    ----------
    rows : int
        How many, m; from what the plan needs to all, n.
    seed : int, optional
        From 0 to 2^62 - 1; a random one unless given.

    Raises
    ------
    UsageError
        For a number of rows or a seed that is none.
    RefusedError
        With code ``pool-too-small``, for fewer rows than the plan needs; and when no answer is left.
    """
    if not isinstance(rows, int) or isinstance(rows, bool) or not 1 <= rows <= pool.num_rows:
        raise UsageError(
            f"A draw takes from 1 to {pool.num_rows:,} rows of this pool, not {ascii(rows)[:40]}.",
            hint="Give how many rows to draw.",
            code="invalid-draw",
        )
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**_SEED_BITS):
        raise UsageError(
            f"A seed is a whole number from 0 to 2^{_SEED_BITS} - 1, not {ascii(seed)[:40]}.",
            hint="Leave it out to have one chosen.",
            code="invalid-draw",
        )
    if rows < pool.plan.rows:
        raise RefusedError(
            f"The plan needs {pool.plan.rows:,} rows for an answer; a draw of {rows:,} gives none.",
            hint=f"Draw {pool.plan.rows:,} or more.",
            code="pool-too-small",
            rows=rows,
            needed=pool.plan.rows,
        )
    ledger = Ledger(storage, pool.id)
    body = {"kind": "draw", "rows": rows, "seed": secrets.randbits(_SEED_BITS) if seed is None else seed}
    numbers: list[int] = []

    def record(account: Account) -> dict[str, object]:
        require_answers(storage, pool, account)
        numbers.append(len(account.draws))
        return body

    account = ledger.note(record, actor)
    return account.draws[numbers[-1]]
