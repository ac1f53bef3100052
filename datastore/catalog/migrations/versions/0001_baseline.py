"""The first format: datasets, versions, manifest pages, objects, refs, documents and journals."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "arrow_schema",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("encoded", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_arrow_schema")),
    )
    op.create_table(
        "dataset",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("key_columns", sa.Text(), nullable=False),
        sa.Column("event_time", sa.Text(), nullable=True),
        sa.Column("derive", sa.Text(), nullable=False),
        sa.Column("next_version", sa.BigInteger(), nullable=False),
        sa.Column("next_fragment", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_name")),
    )
    op.create_table(
        "document",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=80), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "version", name=op.f("pk_document")),
    )
    op.create_table(
        "journal",
        sa.Column("stream", sa.String(length=200), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("previous_hash", sa.String(length=80), nullable=False),
        sa.Column("hash", sa.String(length=80), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("stream", "position", name=op.f("pk_journal")),
    )
    op.create_table(
        "object",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("num_bytes", sa.BigInteger(), nullable=False),
        sa.Column("num_rows", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("transaction_id", sa.String(length=32), nullable=False),
        sa.Column("zones", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("state IN ('staged', 'live')", name=op.f("ck_object_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_object")),
    )
    op.create_table(
        "page",
        sa.Column("hash", sa.String(length=80), nullable=False),
        sa.Column("encoded", sa.LargeBinary(), nullable=False),
        sa.Column("num_fragments", sa.Integer(), nullable=False),
        sa.Column("num_rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_page")),
    )
    op.create_table(
        "store",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_store")),
    )
    op.create_table(
        "derived",
        sa.Column("object_id", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=120), nullable=False),
        sa.Column("encoded", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_derived_object_id_object")),
        sa.PrimaryKeyConstraint("object_id", "kind", name=op.f("pk_derived")),
    )
    op.create_table(
        "page_object",
        sa.Column("page_hash", sa.String(length=80), nullable=False),
        sa.Column("object_id", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(["object_id"], ["object.id"], name=op.f("fk_page_object_object_id_object")),
        sa.ForeignKeyConstraint(["page_hash"], ["page.hash"], name=op.f("fk_page_object_page_hash_page")),
        sa.PrimaryKeyConstraint("page_hash", "object_id", name=op.f("pk_page_object")),
    )
    op.create_index("ix_page_object_object_id", "page_object", ["object_id"], unique=False)
    op.create_table(
        "seal",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("columns", sa.Text(), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("num_rows", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("pending", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.CheckConstraint("state IN ('open', 'flipped', 'sealed')", name=op.f("ck_seal_state")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_seal_dataset_id_dataset")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seal")),
    )
    op.create_table(
        "txn",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("base_version_id", sa.String(length=32), nullable=True),
        sa.Column("started_at", sa.String(length=32), nullable=False),
        sa.Column("lease_until", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.CheckConstraint("state IN ('open', 'committed', 'aborted')", name=op.f("ck_txn_state")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_txn_dataset_id_dataset")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_txn")),
    )
    op.create_table(
        "version",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("parent_id", sa.String(length=32), nullable=True),
        sa.Column("arrow_schema_id", sa.String(length=80), nullable=False),
        sa.Column("next_field", sa.Integer(), nullable=False),
        sa.Column("operation", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("properties", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.Column("num_rows", sa.BigInteger(), nullable=False),
        sa.Column("rows_added", sa.BigInteger(), nullable=False),
        sa.Column("bytes_added", sa.BigInteger(), nullable=False),
        sa.Column("transaction_id", sa.String(length=32), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("recorded", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "status IN ('draft', 'published', 'quarantined', 'deprecated')", name=op.f("ck_version_status")
        ),
        sa.ForeignKeyConstraint(
            ["arrow_schema_id"], ["arrow_schema.id"], name=op.f("fk_version_arrow_schema_id_arrow_schema")
        ),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_version_dataset_id_dataset")),
        sa.ForeignKeyConstraint(["parent_id"], ["version.id"], name=op.f("fk_version_parent_id_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_version")),
        sa.UniqueConstraint("dataset_id", "idempotency_key", name=op.f("uq_version_dataset_id_idempotency_key")),
        sa.UniqueConstraint("dataset_id", "number", name=op.f("uq_version_dataset_id_number")),
        sa.UniqueConstraint("transaction_id", name=op.f("uq_version_transaction_id")),
    )
    op.create_index("ix_version_recorded", "version", ["recorded"], unique=False)
    op.create_table(
        "ref",
        sa.Column("dataset_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=True),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("kind IN ('branch', 'alias', 'tag')", name=op.f("ck_ref_kind")),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_ref_dataset_id_dataset")),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_ref_version_id_version")),
        sa.PrimaryKeyConstraint("dataset_id", "name", name=op.f("pk_ref")),
    )
    op.create_table(
        "version_page",
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("page_hash", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(["page_hash"], ["page.hash"], name=op.f("fk_version_page_page_hash_page")),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_version_page_version_id_version")),
        sa.PrimaryKeyConstraint("version_id", "position", name=op.f("pk_version_page")),
    )
    op.create_index("ix_version_page_page_hash", "version_page", ["page_hash"], unique=False)
