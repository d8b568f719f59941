"""The tables, as the newest step of the migrations leaves them."""

import sqlalchemy as sa

__all__ = ["FEEDBACK", "NEWEST", "PREDICTIONS", "VERSIONS"]

NEWEST = "0001"  # the last step
VERSIONS = "predictions_version"  # the table that says which steps were taken
METADATA = sa.MetaData()

PREDICTIONS = sa.Table(
    "predictions",
    METADATA,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    sa.Column("id", sa.String(40), nullable=False, unique=True),
    sa.Column("created", sa.Double, nullable=False),  # seconds since 1970
    sa.Column("model", sa.String(255), nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("method", sa.String(255), nullable=False),
    sa.Column("request_id", sa.String(128), nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("inputs", sa.LargeBinary, nullable=False),  # serving.engine.packed
    sa.Column("outputs", sa.LargeBinary, nullable=False),
    sa.Column("predicted", sa.Double),  # the code or value; null where the rows are several
    sa.Index("predictions_created", "created"),
    sa.Index("predictions_model", "model", "number"),
)
FEEDBACK = sa.Table(
    "feedback",
    METADATA,
    sa.Column("prediction", sa.ForeignKey(PREDICTIONS.c.id, ondelete="CASCADE"), primary_key=True),
    sa.Column("row", sa.Integer, primary_key=True),
    sa.Column("predicted", sa.Double, nullable=False),
    sa.Column("truth", sa.Double, nullable=False),  # a code, or a value
    sa.Column("is_class", sa.Boolean, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)
