"""What works on this machine, what does not, and what an operator can do about it."""

from localassist.services.checkup.examining import examine
from localassist.services.checkup.finding import Finding, Status

__all__ = ["Finding", "Status", "examine"]
