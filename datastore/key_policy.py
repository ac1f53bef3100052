"""What a commit does about key values that occur twice: an error, a warning, or nothing."""

import warnings

from foldstore.datastore.catalog.records import DatasetRecord
from foldstore.datastore.keys import find_duplicate_keys
from foldstore.datastore.reader import FragmentReader
from foldstore.errors import DuplicateKeyError, UsageError

KEY_POLICIES = ("error", "warn", "off")
_HINT = "Drop the rows that are there already, or upsert() them; with a schema set, such data is quarantined."


class DuplicateKeyWarning(UserWarning):
    """Key values of a commit occur more than once, and the dataset's policy lets them."""


def check_key_policy(policy: object) -> str:
    """Return a policy when it is one.

    Raises
    ------
    UsageError
        When it is not.
    """
    if isinstance(policy, str) and policy in KEY_POLICIES:
        return policy
    raise UsageError(
        f"key_policy={policy!r} is not a choice.", hint="Write key_policy='error', 'warn' or 'off'.", policy=str(policy)
    )


def check_keys(dataset: DatasetRecord, added: FragmentReader, before: FragmentReader) -> None:
    """Do what a dataset's policy says about key values of new rows that are not unique.

    Raises
    ------
    DuplicateKeyError
        When there are any and the policy is ``error``.
    """
    if dataset.key_policy == "off":
        return
    error = find_duplicates(dataset, added, before, hint=_HINT)
    if error is not None and dataset.key_policy == "warn":
        warnings.warn(error.message, DuplicateKeyWarning, stacklevel=2)
    elif error is not None:
        raise error


def find_duplicates(
    dataset: DatasetRecord, added: FragmentReader, before: FragmentReader, *, hint: str
) -> DuplicateKeyError | None:
    """Return the error for key values of new rows that occur twice, or None."""
    if not dataset.key or not added.fragments:
        return None
    found = find_duplicate_keys(dataset.key, added, before, limit=1)
    if not found.groups:
        return None
    first = ", ".join(f"{name}={found.examples[0][name]}" for name in dataset.key)
    return DuplicateKeyError(
        f"{found.groups:,} key value{'s occur' if found.groups > 1 else ' occurs'} more than once "
        f"in {dataset.name!r}, e.g. {first}.",
        hint=hint,
        dataset=dataset.name,
        key=list(dataset.key),
        groups=found.groups,
    )
