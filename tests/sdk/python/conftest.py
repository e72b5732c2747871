import pytest

from support import SECRET_MARK


@pytest.fixture
def wire():
    """Every HTTP exchange of the test, oldest first."""
    return []


@pytest.fixture(autouse=True)
def no_client_secret_comes_back(wire):
    yield
    assert [e for e in wire if SECRET_MARK.encode() in e.body] == []
