"""What people look at: the table and page of distinct values, their decisions, and the report on a folder."""
