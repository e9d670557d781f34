import os

# Before torch is loaded, as the command line does: idle threads of OpenMP shall not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
