"""An app for the tests alone: its `flush`, which ends each transactional test, may empty the audit trail too."""
