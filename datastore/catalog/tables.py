"""The catalog's tables, as the newest migration leaves them.

Times are RFC 3339 text in UTC; JSON is canonical text, so that both databases keep it to the byte.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Facts about the store itself: its id, its format, when it was made.
store = Table("store", metadata, Column("key", String(64), primary_key=True), Column("value", Text, nullable=False))

dataset = Table(
    "dataset",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("key_columns", Text, nullable=False),
    Column("event_time", Text),
    Column("derive", Text, nullable=False),
    # What a commit does about key values that occur twice: error, warn, off.
    Column("key_policy", String(8), nullable=False, server_default="error"),
    Column("next_version", BigInteger, nullable=False),
    Column("next_fragment", BigInteger, nullable=False),
    Column("created_at", String(32), nullable=False),
)

# One row per distinct arrow schema; fields carry their ids, so versions with equal columns share it.
arrow_schema = Table(
    "arrow_schema",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("encoded", LargeBinary, nullable=False),
)

version = Table(
    "version",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("dataset_id", String(32), ForeignKey("dataset.id"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("parent_id", String(32), ForeignKey("version.id")),
    # The other side of a merge.
    Column("merge_parent_id", String(32)),
    Column("branch", String(100), nullable=False, server_default="main"),
    Column("arrow_schema_id", String(80), ForeignKey("arrow_schema.id"), nullable=False),
    Column("next_field", Integer, nullable=False),
    Column("operation", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    Column("author", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("properties", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("num_rows", BigInteger, nullable=False),
    Column("rows_added", BigInteger, nullable=False),
    Column("bytes_added", BigInteger, nullable=False),
    Column("transaction_id", String(32), nullable=False, unique=True),
    Column("idempotency_key", String(200)),
    # False until the commit object beside the data is on disk; the next commit looks after it.
    Column("recorded", Boolean, nullable=False),
    # Set when retention gave the version's rows up; its row stays, so that the number is never given again.
    Column("expired_at", String(32)),
    UniqueConstraint("dataset_id", "number"),
    UniqueConstraint("dataset_id", "idempotency_key"),
    Index("ix_version_recorded", "recorded"),
    Index("ix_version_dataset_id_branch", "dataset_id", "branch"),
    CheckConstraint("status IN ('draft', 'published', 'quarantined', 'deprecated')", name="status"),
)

page = Table(
    "page",
    metadata,
    Column("hash", String(80), primary_key=True),
    Column("encoded", LargeBinary, nullable=False),
    Column("num_fragments", Integer, nullable=False),
    Column("num_rows", BigInteger, nullable=False),
)

version_page = Table(
    "version_page",
    metadata,
    Column("version_id", String(32), ForeignKey("version.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("page_hash", String(80), ForeignKey("page.hash"), nullable=False),
    Index("ix_version_page_page_hash", "page_hash"),
)

stored_object = Table(
    "object",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("num_rows", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("transaction_id", String(32), nullable=False),
    # Per column and record batch: min, max, counts of null and NaN, XXH3-64. An Arrow IPC stream.
    Column("zones", LargeBinary, nullable=False),
    # When the collector first found that nothing needs it; a commit that uses it again clears this.
    Column("condemned_at", String(32)),
    # The size and the hash of its Parquet form, when it lies in the cold tier instead of in `objects`.
    Column("cold_bytes", BigInteger),
    Column("cold_hash", String(80)),
    CheckConstraint("state IN ('staged', 'live')", name="state"),
)

page_object = Table(
    "page_object",
    metadata,
    Column("page_hash", String(80), ForeignKey("page.hash"), primary_key=True),
    Column("object_id", String(80), ForeignKey("object.id"), primary_key=True),
    Index("ix_page_object_object_id", "object_id"),
)

# Which rows of a fragment were deleted: packed bits, deflated, under the BLAKE3 of what is kept.
deletion = Table(
    "deletion",
    metadata,
    Column("hash", String(80), primary_key=True),
    Column("encoded", LargeBinary, nullable=False),
    Column("num_deleted", BigInteger, nullable=False),
)

page_deletion = Table(
    "page_deletion",
    metadata,
    Column("page_hash", String(80), ForeignKey("page.hash"), primary_key=True),
    Column("deletion_hash", String(80), ForeignKey("deletion.hash"), primary_key=True),
    Index("ix_page_deletion_deletion_hash", "deletion_hash"),
)

ref = Table(
    "ref",
    metadata,
    Column("dataset_id", String(32), ForeignKey("dataset.id"), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("version_id", String(32), ForeignKey("version.id")),
    Column("generation", BigInteger, nullable=False),
    CheckConstraint("kind IN ('branch', 'alias', 'tag')", name="kind"),
)

transaction = Table(
    "txn",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("dataset_id", String(32), ForeignKey("dataset.id"), nullable=False),
    Column("base_version_id", String(32)),
    Column("started_at", String(32), nullable=False),
    Column("lease_until", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    CheckConstraint("state IN ('open', 'committed', 'aborted')", name="state"),
)

# The objects that a commit under way has written or shares: they are not collected while its lease lasts.
transaction_object = Table(
    "txn_object",
    metadata,
    Column("transaction_id", String(32), ForeignKey("txn.id"), primary_key=True),
    Column("object_id", String(80), primary_key=True),
    Index("ix_txn_object_object_id", "object_id"),
)

# Somebody reads a version until then, whatever retention says.
lease = Table(
    "lease",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("version_id", String(32), ForeignKey("version.id"), nullable=False),
    Column("holder", Text, nullable=False),
    Column("lease_until", String(32), nullable=False),
    Column("created_at", String(32), nullable=False),
    Index("ix_lease_version_id", "version_id"),
)

# Whoever depends on a version (a model, a view, a service), or a person who keeps it (kind `pin`).
consumer = Table(
    "consumer",
    metadata,
    Column("version_id", String(32), ForeignKey("version.id"), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    Index("ix_consumer_kind_name", "kind", "name"),
)

# An execution that read or wrote versions.
run = Table(
    "run",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("status", String(16), nullable=False),
    Column("author", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("params", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("error", Text),
    Column("repeats_id", String(32), ForeignKey("run.id")),
    Column("started_at", String(32), nullable=False),
    Column("ended_at", String(32)),
    CheckConstraint("status IN ('running', 'succeeded', 'failed')", name="status"),
    Index("ix_run_name", "name"),
)

run_version = Table(
    "run_version",
    metadata,
    Column("run_id", String(32), ForeignKey("run.id"), primary_key=True),
    Column("role", String(8), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("version_id", String(32), ForeignKey("version.id"), nullable=False),
    # As it was written when the run asked for it: `flights@champion`.
    Column("address", String(320), nullable=False),
    CheckConstraint("role IN ('input', 'output')", name="role"),
    Index("ix_run_version_version_id", "version_id"),
)

# What was computed from an object's bytes and can be computed again.
derived = Table(
    "derived",
    metadata,
    Column("object_id", String(80), ForeignKey("object.id"), primary_key=True),
    Column("kind", String(120), primary_key=True),
    Column("encoded", LargeBinary, nullable=False),
)

# Cells that were moved out of the ordinary files, for good. `pending` lists what is left to do after the flip.
seal = Table(
    "seal",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("dataset_id", String(32), ForeignKey("dataset.id"), nullable=False),
    Column("columns", Text, nullable=False),
    Column("files", Text, nullable=False),
    Column("num_rows", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("pending", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
    CheckConstraint("state IN ('open', 'flipped', 'sealed')", name="state"),
)

document = Table(
    "document",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("hash", String(80), nullable=False),
    Column("body", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
)

journal = Table(
    "journal",
    metadata,
    Column("stream", String(200), primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("previous_hash", String(80), nullable=False),
    Column("hash", String(80), nullable=False),
    Column("actor", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", String(32), nullable=False),
)
