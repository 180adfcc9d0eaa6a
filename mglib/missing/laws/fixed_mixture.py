"""Fixed shares of the batches lose two of three modalities, or one."""

from __future__ import annotations

import numpy as np

from mglib.errors import MglibError
from mglib.missing.draws import order, ranks
from mglib.missing.law import SLACK, Law
from mglib.missing.subsets import Shares, subsets
from mglib.registry import Setting, laws

TWO = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)  # share of batches that lose two, at rates .1 to .7
ONE = (0.1, 0.2, 0.3, 0.2, 0.1, 0.0, 0.0)


@laws.register("fixed_mixture")
class FixedMixture(Law):
    """Whole batches of shuffled rows lose two, one or none of three modalities, at rates .1 to .7.

    DiCMoR (ICCV 2023) and IMDer (NeurIPS 2023), whose code is the same and differs in `batch`: 32
    rows of MOSI and 128 of MOSEI for IMDer, 4 and 16 for DiCMoR. They count batches and compare
    with the number of all batches rounded to tens, so that the realised rate is off: .093 to .622
    on IMDer's MOSI test; 0.7 is 2/3 at most. `shares` are the nominal ones. Fewer than six batches
    round to none, and nothing is lost: MglibError, unless `published` is "yes". With that, rate 0
    loses two everywhere, as the code does by indexing the lists with -1; else 0 is complete.
    """

    title = "fixed mixture of batches"
    least = most = 3
    settings = {
        "batch": Setting(int, 32, 1),
        "published": Setting(str, "no", words=("no", "yes")),
    }

    def rates(self, modalities: int) -> tuple[float, float]:
        return 0.0, 0.7

    def together(self) -> int:
        return int(self.values()["batch"])

    def check(self, modalities: int, rate: float) -> None:
        super().check(modalities, rate)
        if abs(round(rate * 10) / 10 - rate) > SLACK:
            raise MglibError(f"law '{self.name}' has the rates 0, 0.1, ... 0.7, not {rate!r}")

    def mixture(self, rate: float) -> tuple[float, float]:
        """The nominal shares of batches that lose two modalities, and one."""
        place = round(rate * 10) - 1
        complete = place < 0 and self.values()["published"] == "no"
        return (0.0, 0.0) if complete else (TWO[place], ONE[place])

    def counts(self, batches: int, rate: float) -> tuple[int, int]:
        """How many of so many batches lose two modalities, and one, as the published code counts.

        Raises MglibError if it would lose nothing at a rate above 0, unless that is asked for.
        """
        two, one = self.mixture(rate)
        whole = round(batches / 10) * 10
        if not whole:
            if batches and two and self.values()["published"] == "no":
                raise MglibError(
                    f"law '{self.name}' rounds its {batches} batches to tens, which is none, and "
                    "would lose nothing: name a smaller batch, or published=yes if that is meant"
                )
            return 0, 0
        first = min(batches, sum(done / whole < two for done in range(whole)))
        return first, min(batches - first, sum(done / whole < one for done in range(whole)))

    def draw(
        self,
        random: np.random.Generator,
        rows: int,
        modalities: int,
        rate: float,
        labels: np.ndarray | None,
    ) -> np.ndarray:
        batches = -(-rows // self.together())
        two, one = self.counts(batches, rate)
        observed = np.repeat([1, 2, 3], [two, one, batches - two - one])
        drawn = ranks(random, batches, modalities) < observed[:, None]
        table = np.empty((rows, modalities), dtype=bool)
        table[order(random, rows)] = np.repeat(drawn, self.together(), axis=0)[:rows]
        return table

    def odds(self, modalities: int, rate: float) -> Shares:
        two, one = self.mixture(rate)
        share = {3: 1 - two - one, 2: one / 3, 1: two / 3}
        return {subset: share[sum(subset)] for subset in subsets(modalities)}
