"""What a run paid, summed up over its stages and models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weak2wise_core.accounts import Account


@dataclass(slots=True)
class Paid:
    """The accounts of a run, and their sums."""

    accounts: Mapping[tuple[str, str], Account] = field(default_factory=dict, kw_only=True)
    """What was paid, by stage and model; shared with the gateway."""

    @property
    def calls(self) -> int:
        """Calls paid in this run."""
        return sum(account.calls for account in self.accounts.values())

    @property
    def stored(self) -> int:
        """Calls that the reply store answered."""
        return sum(account.stored for account in self.accounts.values())

    @property
    def tokens(self) -> int:
        """Tokens paid in this run, prompts and replies."""
        return sum(
            account.prompt_tokens + account.completion_tokens for account in self.accounts.values()
        )

    @property
    def usd(self) -> float:
        """US dollars paid in this run, by the recipe's prices."""
        return sum(account.usd for account in self.accounts.values())

    @property
    def lost(self) -> int:
        """Tries of this run that gave no reply and may have been charged for."""
        return sum(account.lost for account in self.accounts.values())

    @property
    def lost_usd(self) -> float:
        """What they cost at the most, in US dollars; not in `usd`."""
        return sum(account.lost_usd for account in self.accounts.values())

    @property
    def charges(self) -> int:
        """Calls of this run as a budget counts them: lost tries too."""
        return sum(account.charges for account in self.accounts.values())

    @property
    def held_usd(self) -> float:
        """As a budget holds it: lost tries too; what servers did not count is at its most."""
        return sum(account.held_usd for account in self.accounts.values())

    @property
    def uncounted(self) -> int:
        """Calls paid in this run that are missing in `tokens`: their replies count none."""
        return sum(account.uncounted for account in self.accounts.values())

    @property
    def unpriced(self) -> int:
        """Calls paid in this run that are missing in `usd`."""
        return sum(account.unpriced for account in self.accounts.values())

    @property
    def sums(self) -> dict[str, Any]:
        """All of these for a reader, as plain values."""
        return {
            "calls": self.calls,
            "stored": self.stored,
            "tokens": self.tokens,
            "usd": round(self.usd, 6),
            "uncounted": self.uncounted,
            "unpriced": self.unpriced,
            "lost": self.lost,
            "lost_usd": round(self.lost_usd, 6),
        }
