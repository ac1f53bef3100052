"""The newest rows of another dataset, for the rules of a schema that name one."""

from foldstore.datastore.arrow_schema import decode_schema
from foldstore.datastore.reader import FragmentReader
from foldstore.datastore.storage import Storage
from foldstore.errors import NotFoundError, did_you_mean
from foldstore.names import MAIN_BRANCH
from foldstore.validation.fragments import FragmentSubject


class OtherDatasets:
    """Opens datasets by name, as who judges may read them.

    Parameters
    ----------
    storage : Storage
        The open store; its guard is asked before anything is read.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def __call__(self, name: str) -> FragmentSubject:
        """Return the rows of the newest published version on the main branch.

        Raises
        ------
        NotFoundError
            When there is no such dataset, or nothing of it is published.
        RefusedError
            When it may not be read.
        """
        catalog = self._storage.catalog
        dataset = catalog.find_dataset(name)
        if dataset is None and self._storage.guard is not None:
            # In the words for one that is there and may not be read: whoever reads some names learns no others.
            raise NotFoundError(f"There is nothing called {ascii(name)[:100]} here.", hint="Check the name.")
        if dataset is None:
            known = [each.name for each in catalog.list_datasets()]
            raise NotFoundError(f"There is no dataset {name!r}.", hint=did_you_mean(name, known), dataset=name)
        ref = catalog.find_ref(dataset.id, MAIN_BRANCH)
        record = None if ref is None or ref.version_id is None else catalog.find_version_by_id(ref.version_id)
        if record is None:
            raise NotFoundError(f"Nothing of {name!r} is published yet.", dataset=name)
        schema = decode_schema(catalog.read_arrow_schema(record.arrow_schema_id))
        address = f"{name}@{record.number}"
        rows = FragmentReader(self._storage, dataset.id, self._storage.pages.fragments(record), schema, address)
        guard = self._storage.guard
        return FragmentSubject(self._storage, rows if guard is None else guard.permit(dataset, record, rows), address)
