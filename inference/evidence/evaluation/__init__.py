"""How well scores rank known deposits. Deposits appear here and nowhere else: no model learns from them."""
