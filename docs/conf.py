"""How the documentation is built: `make docs`."""

import os
import sys
from pathlib import Path

# The examples are too small to gain from a second thread, and their numbers then do not
# depend on how many there are. The libraries read it when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

import skcae

project = "skcae"
author = "The skcae developers"
project_copyright = author
version = release = skcae.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    # In _extensions:
    "formulas",
    "public_names",
    "reports",
    "tables",
]
exclude_patterns = ["_build", "_templates", "examples", "pictures"]
templates_path = ["_templates"]
nitpicky = True
# scikit-learn's way of writing: what stands in single backticks is code.
default_role = "literal"
suppress_warnings = ["config.cache"]

# ---- Markdown ---------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# ---- the reference ----------------------------------------------------------------

autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
# A parameter a line where the signature does not fit into one.
maximum_signature_line_length = 70
autosummary_generate = True
# A module's page has what is in its `__all__`.
autosummary_ignore_module_all = False
numpydoc_show_class_members = False

# ---- the gallery ------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "reference/generated/examples",
    "doc_module": ("skcae",),
    "reference_url": {"skcae": None},
    "abort_on_example_error": True,
    "show_signature": False,
    "image_srcset": ["2x"],
}

# ---- the copy button: what is typed, without prompts and without what is printed ---

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_selector = ", ".join(
    f"div.highlight-{language} pre"
    for language in ("python", "Python", "default", "bash")
)

# ---- the site ---------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = "skcae"
html_static_path = ["_static"]
html_css_files = ["skcae.css"]
html_favicon = "_static/favicon.svg"
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": [], "getting_started": [], "results": [], "questions": []}
html_theme_options = {
    "logo": {"text": "skcae"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "show_prev_next": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}
