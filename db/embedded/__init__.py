"""The embedded default: a private PostgreSQL cluster with PostGIS that Lode makes, starts and stops."""

from db.embedded.cluster import Cluster
from db.embedded.configuration import PORT
from db.embedded.creation import SUPERUSER
from db.embedded.status import ClusterStatus, DatabaseSize, ServerFacts

__all__ = ["PORT", "SUPERUSER", "Cluster", "ClusterStatus", "DatabaseSize", "ServerFacts"]
