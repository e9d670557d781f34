"""The service: workers, schedules and campaigns that run ingest, inference and reports without anyone."""
