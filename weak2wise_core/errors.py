"""Every error a user can meet.

The tree::

    Weak2WiseError                 exit code 1
    ├── UsageError                 exit code 2: what was asked for cannot be done as written
    │   ├── RecipeError            the recipe has an unknown key, a bad value, or cannot be read
    │   ├── InputFileError         a file that a person named is missing, empty or of the wrong kind
    │   ├── MissingKeyError        the environment variable with an API key is not set
    │   ├── MissingExtraError      an optional dependency is not installed
    │   └── TrainingRefusedError   an example, the model or the machine does not suit the training
    ├── TraceFormatError           a trace without steps, or with text that breaks a template
    ├── TruncationError            a truncated trace is not a prefix, or lost the answer
    ├── ModelError                 one model call gave no usable reply
    │   ├── TransientModelError    retries are used up; the same call may succeed later
    │   ├── RequestRefusedError    the server will not answer this request, now or later
    │   ├── OutOfWorldError        the testbed was asked about something outside its small world
    │   └── FatalModelError        no call to this model can succeed: key, name or address is wrong
    ├── BudgetReachedError         the next call would cross the recipe's budget
    ├── TrainingError              a training ended without a model
    │   └── TrainingStoppedError   it was asked to stop; its checkpoint is kept
    ├── EvaluationError            an evaluation ended without results
    ├── HubError                   a hub cannot be reached, or refuses an upload
    ├── StoreError                 the reply store is corrupt, too new, or not writable
    └── BuildError                 a build ended without publishing a dataset

A message says what was found, where, and what to do about it.
"""

from typing import ClassVar


class Weak2WiseError(Exception):
    """Root of every error that this project raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(Weak2WiseError):
    """A command, recipe or file cannot be used as written; nothing was started."""

    exit_code: ClassVar[int] = 2


class RecipeError(UsageError):
    """A recipe cannot be read, has an unknown key or a value out of range."""


class InputFileError(UsageError):
    """A file named by a person is missing, unreadable, empty or of the wrong kind."""


class MissingKeyError(UsageError):
    """The environment variable that should hold an API key is not set."""


class MissingExtraError(UsageError):
    """An optional dependency is needed and not installed."""


class TrainingRefusedError(UsageError):
    """An example is too long or lost its thinking, or model and machine do not suit each other."""


class TraceFormatError(Weak2WiseError):
    """A trace cannot be used: no line opens a step, or its text would break a chat template."""


class TruncationError(Weak2WiseError):
    """A proposed truncation is not a prefix of its trace, or does not hold the answer."""


class ModelError(Weak2WiseError):
    """One model call gave no usable reply; the subclasses say whether trying again can help."""

    model: str = ""
    """The name under which the recipe's model is counted; set where the call is counted."""
    draw: int | None = None
    """Which draw was asked for; set together with `model`."""


class TransientModelError(ModelError):
    """Every retry failed for a passing reason: the question goes to quarantine."""


class RequestRefusedError(ModelError):
    """The server answers, but never this request (HTTP 400, 413, 422): the draw is refused."""


class OutOfWorldError(RequestRefusedError):
    """A testbed model was asked about something outside its small world."""


class FatalModelError(ModelError):
    """No call to this model can succeed (wrong key, name or address): the build stops at once."""


class BudgetReachedError(Weak2WiseError):
    """The next call would cross the budget of the recipe; what was paid for is kept."""


class TrainingError(Weak2WiseError):
    """A training began and gave no model: it diverged, ran out of memory, or its process died."""


class TrainingStoppedError(TrainingError):
    """A training was asked to stop (SIGTERM); started again it goes on from its checkpoint."""


class HubError(Weak2WiseError):
    """A dataset could not be uploaded: the hub is not there, or refuses token, name or content."""


class EvaluationError(Weak2WiseError):
    """An evaluation ended without results: answers are missing; those that came are kept."""


class StoreError(Weak2WiseError):
    """The reply store or a data file is corrupt, too new, or cannot be written."""


class BuildError(Weak2WiseError):
    """A build ended without publishing a dataset."""
