"""Data: files to rows, rows to chats, chats to batch plans, plans to batches."""
