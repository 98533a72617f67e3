"""What stands around the app: its tables, and the operator's command line."""
