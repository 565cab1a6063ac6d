"""The concept store: schema, transactions, roles and the audit log."""
