import pytest

pytest.register_assert_rewrite("tests.faults.ground", "tests.faults.servers", "tests.faults.strikes")
