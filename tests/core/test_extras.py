import re

import pytest

from skcae._core.extras import imported


@pytest.mark.parametrize(
    ("module", "package"), [("nowhere.at_all", "nowhere"), ("PIL.nothing", "Pillow")]
)
def test_what_is_missing_is_named_as_pip_does(module, package):
    words = f'This needs {package}; install it with pip install "skcae[io]"'
    with pytest.raises(ImportError, match=re.escape(words)):
        imported(module, extra="io", for_what="This")
    assert imported("re", extra="io", for_what="This") is re
