"""From recordings to policy files: learned, commented, written.

from discover.generate import generate, write

for made in generate(open_dataset("recordings/web"), Request()):
print(made.text)
"""

from discover.generate.make import Generated, Refused, Request, generate, generate_each
from discover.generate.write import Written, posture_patch, write

__all__ = ["Generated", "Refused", "Request", "Written", "generate", "generate_each", "posture_patch", "write"]
