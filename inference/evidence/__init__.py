"""Where ore may lie, learned without a deposit: what evidence leads one to expect, and what exceeds it."""
