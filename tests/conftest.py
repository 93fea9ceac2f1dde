"""For all tests: MMEngine's logger begins before any test captures its output.

It writes to the standard output of the moment in which it is first asked for. Within a test that is
closed when the test is over, and a later one would see the complaints.
"""
from mmengine.logging import MMLogger

MMLogger.get_current_instance()
