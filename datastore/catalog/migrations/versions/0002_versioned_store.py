"""Deletions, branches, leases, consumers, runs, and the cold tier."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _extend_dataset_and_version()
    _extend_object()
    _create_deletions()
    _create_holders()
    _create_runs()


def _extend_dataset_and_version() -> None:
    # Columns without constraints: SQLite adds them in place, and no table is made anew under its foreign keys.
    op.add_column("dataset", sa.Column("key_policy", sa.String(length=8), nullable=False, server_default="error"))
    op.add_column("version", sa.Column("merge_parent_id", sa.String(length=32), nullable=True))
    op.add_column("version", sa.Column("branch", sa.String(length=100), nullable=False, server_default="main"))
    op.add_column("version", sa.Column("expired_at", sa.String(length=32), nullable=True))
    op.create_index("ix_version_dataset_id_branch", "version", ["dataset_id", "branch"], unique=False)


def _extend_object() -> None:
    op.add_column("object", sa.Column("condemned_at", sa.String(length=32), nullable=True))
    op.add_column("object", sa.Column("cold_bytes", sa.BigInteger(), nullable=True))
    op.add_column("object", sa.Column("cold_hash", sa.String(length=80), nullable=True))


def _create_deletions() -> None:
    op.create_table(
        "deletion",
        sa.Column("hash", sa.String(length=80), nullable=False),
        sa.Column("encoded", sa.LargeBinary(), nullable=False),
        sa.Column("num_deleted", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_deletion")),
    )
    op.create_table(
        "page_deletion",
        sa.Column("page_hash", sa.String(length=80), nullable=False),
        sa.Column("deletion_hash", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["deletion_hash"], ["deletion.hash"], name=op.f("fk_page_deletion_deletion_hash_deletion")
        ),
        sa.ForeignKeyConstraint(["page_hash"], ["page.hash"], name=op.f("fk_page_deletion_page_hash_page")),
        sa.PrimaryKeyConstraint("page_hash", "deletion_hash", name=op.f("pk_page_deletion")),
    )
    op.create_index("ix_page_deletion_deletion_hash", "page_deletion", ["deletion_hash"], unique=False)


def _create_holders() -> None:
    op.create_table(
        "txn_object",
        sa.Column("transaction_id", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(["transaction_id"], ["txn.id"], name=op.f("fk_txn_object_transaction_id_txn")),
        sa.PrimaryKeyConstraint("transaction_id", "object_id", name=op.f("pk_txn_object")),
    )
    op.create_index("ix_txn_object_object_id", "txn_object", ["object_id"], unique=False)
    op.create_table(
        "lease",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("lease_until", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_lease_version_id_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lease")),
    )
    op.create_index("ix_lease_version_id", "lease", ["version_id"], unique=False)
    op.create_table(
        "consumer",
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_consumer_version_id_version")),
        sa.PrimaryKeyConstraint("version_id", "kind", "name", name=op.f("pk_consumer")),
    )
    op.create_index("ix_consumer_kind_name", "consumer", ["kind", "name"], unique=False)


def _create_runs() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("repeats_id", sa.String(length=32), nullable=True),
        sa.Column("started_at", sa.String(length=32), nullable=False),
        sa.Column("ended_at", sa.String(length=32), nullable=True),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'failed')", name=op.f("ck_run_status")),
        sa.ForeignKeyConstraint(["repeats_id"], ["run.id"], name=op.f("fk_run_repeats_id_run")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    op.create_index("ix_run_name", "run", ["name"], unique=False)
    op.create_table(
        "run_version",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.String(length=32), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.CheckConstraint("role IN ('input', 'output')", name=op.f("ck_run_version_role")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_version_run_id_run")),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name=op.f("fk_run_version_version_id_version")),
        sa.PrimaryKeyConstraint("run_id", "role", "position", name=op.f("pk_run_version")),
    )
    op.create_index("ix_run_version_version_id", "run_version", ["version_id"], unique=False)
