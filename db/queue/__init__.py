"""The queue of jobs in the database: procrastinate's tables, and the SQL of whoever works on them."""
