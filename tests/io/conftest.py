"""Of the doctor's tests."""
import pytest
from doctor_defects import make_video


@pytest.fixture
def root(tmp_path):
    return make_video(tmp_path / 'data' / 'bear').parent
