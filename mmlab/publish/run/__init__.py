"""Running chapters: keys, jobs, receipts."""
