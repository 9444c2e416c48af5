"""The conformance kit: what every PEFT method is held to, built in or plugin, run on small random models.

Call it from the tests of your own method:

    from ftlab.conformance import check_method

    def test_my_method():
        assert not [finding for finding in check_method(MyMethod()) if finding.passed is False]
"""

from ftlab.conformance.findings import Finding
from ftlab.conformance.kit import ARCHITECTURES, CHECKS, check_method

__all__ = ["ARCHITECTURES", "CHECKS", "Finding", "check_method"]
