"""What a run paid, summed up over its stages and models."""

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    def held_usd(self) -> float:
        """The same as a budget holds it: what servers did not count is taken at its most."""
        return sum(account.held_usd for account in self.accounts.values())

    @property
    def uncounted(self) -> int:
        """Calls paid in this run that are missing in `tokens`: their replies count none."""
        return sum(account.uncounted for account in self.accounts.values())

    @property
    def unpriced(self) -> int:
        """Calls paid in this run that are missing in `usd`."""
        return sum(account.unpriced for account in self.accounts.values())
