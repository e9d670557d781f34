"""Networks that learn where ore lies, side by side: on simulated districts and on a real survey."""
