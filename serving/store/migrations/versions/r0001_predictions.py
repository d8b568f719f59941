"""The tables of predictions and of feedback."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "predictions",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(40), nullable=False, unique=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("model", sa.String(255), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.String(255), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("inputs", sa.LargeBinary(), nullable=False),
        sa.Column("outputs", sa.LargeBinary(), nullable=False),
        sa.Column("predicted", sa.Double(), nullable=True),
    )
    op.create_index("predictions_created", "predictions", ["created"])
    op.create_index("predictions_model", "predictions", ["model", "number"])
    op.create_table(
        "feedback",
        sa.Column(
            "prediction",
            sa.String(40),
            sa.ForeignKey("predictions.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("row", sa.Integer(), primary_key=True),
        sa.Column("predicted", sa.Double(), nullable=False),
        sa.Column("truth", sa.Double(), nullable=False),
        sa.Column("is_class", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
    )


def downgrade() -> None:
    """Take the tables away, and what is in them."""
    op.drop_table("feedback")
    op.drop_table("predictions")
