"""What is printed: results as tables, YAML and JSON, and the user's terminal. Imports clients."""

from fakevm import lazy

__getattr__ = lazy.modules(__name__)
