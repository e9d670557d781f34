"""Where ore may lie, learned without a deposit: what the evidence leads one to expect, and what exceeds it."""
