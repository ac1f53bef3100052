"""The handles of a remote store, and what each of them leaves to the folder."""

from foldstore.remote.consumers import RemoteConsumers
from foldstore.remote.dataset import RemoteDataset
from foldstore.remote.features import RemoteFeatures
from foldstore.remote.feedback import RemoteFeedback
from foldstore.remote.folds import RemoteFold, RemoteFolds
from foldstore.remote.local_only import RemoteHandle
from foldstore.remote.monitors import RemoteMonitors
from foldstore.remote.pools import RemotePool, RemotePools
from foldstore.remote.runs import RemoteLineage, RemoteRuns
from foldstore.remote.saved_views import RemoteSavedViews
from foldstore.remote.split import RemotePart, RemoteSplit
from foldstore.remote.store import RemoteStore
from foldstore.remote.stream import RemoteStreamWriter
from foldstore.remote.transforms import RemoteTransforms
from foldstore.remote.version import RemoteVersion
from foldstore.remote.view import RemoteView


def list_handles() -> list[type[RemoteHandle] | type[RemoteView]]:
    """Return the classes of handles; `LOCAL_ONLY` of each says what it has not, and why."""
    data = [RemoteStore, RemoteDataset, RemoteVersion, RemoteView, RemoteSavedViews, RemoteSplit, RemotePart]
    return [
        *data,
        RemoteFolds,
        RemoteFold,
        RemoteTransforms,
        RemoteConsumers,
        RemoteFeedback,
        RemotePools,
        RemotePool,
        RemoteFeatures,
        RemoteMonitors,
        RemoteRuns,
        RemoteLineage,
        RemoteStreamWriter,
    ]
