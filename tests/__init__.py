import os

# Before torch is loaded, as the command line does: waiting threads of OpenMP shall not spin for long.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
