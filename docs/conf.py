"""Configuration of the documentation; built by ``tox run -e docs``."""

import enum
import functools
import importlib
import inspect
import os
import re
import warnings

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sklearn.exceptions import ConvergenceWarning

import sk_implicit

project = "sk_implicit"
copyright = "The sk_implicit developers"
author = "The sk_implicit developers"
release = version = sk_implicit.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "numpydoc",
    "myst_parser",
]
exclude_patterns = ["_build", "_templates", "examples", "auto_examples/*.ipynb", "sg_execution_times.rst"]
templates_path = ["_templates"]
default_role = "py:obj"
add_function_parentheses = False


def properties(module, name):
    """Return the public, documented properties of a class that this package defines, in its order."""
    thing = getattr(importlib.import_module(module), name)
    ours = [base for base in thing.__mro__ if base.__module__.startswith("sk_implicit")]
    names = dict.fromkeys(key for base in ours for key in vars(base) if not key.startswith("_"))
    found = ((key, inspect.getattr_static(thing, key)) for key in names)
    return [key for key, value in found if isinstance(value, PROPERTIES) and value.__doc__]


def enumerated(module, name):
    """Return the members of an enumeration as (name, meaning)."""
    thing = getattr(importlib.import_module(module), name)
    listed = thing if issubclass(thing, enum.Enum) else ()
    return [(member.name, re.sub(r"(\w+='\w+')", r"``\1``", member.message)) for member in listed]


PROPERTIES = (property, functools.cached_property)
autosummary_context = {"properties": properties, "enumerated": enumerated}
autosummary_generate = True
toc_object_entries_show_parents = "hide"  # the methods of a page, not the class again before each
autodoc_typehints = "none"  # the docstrings hold them, with shapes
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
# The changelog and the benchmarks' reports start below a title of the page that includes them.
suppress_warnings = ["myst.header", "myst.xref_missing", "config.cache"]

# Examples that take seconds are run when the documentation is built. The others are shown with the time
# they take and figures kept in images/; SK_IMPLICIT_DOCS_ALL=1 runs them too.
EVERY = "/plot_"
QUICK = ("decision_boundary", "from_mlp", "intervals", "latency", "raw_table", "uncertainty")
warnings.filterwarnings("ignore", category=ConvergenceWarning)
# Jobs that people have come first, the theory after them.
ORDER = (
    *("quickstart", "plot_raw_table", "plot_intervals", "plot_latency", "plot_decision_boundary"),
    *("plot_uncertainty", "plot_from_mlp", "plot_depth", "plot_paper_experiments"),
)


class _order:
    """The key that examples are sorted by: their place in `ORDER`, the others after them by name."""

    def __init__(self, directory):
        pass

    def __call__(self, filename):
        name = filename.removesuffix(".py")
        return ORDER.index(name) if name in ORDER else len(ORDER), name


sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_"
    if os.environ.get("SK_IMPLICIT_DOCS_ALL")
    else rf"/plot_({'|'.join(QUICK)})\.py",
    "ignore_pattern": r"^(?!plot_|quickstart)",
    "within_subsection_order": _order,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
    "plot_gallery": True,
    "abort_on_example_error": True,
    "doc_module": ("sk_implicit",),
    "reference_url": {"sk_implicit": None},
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "sk_implicit"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "sk_implicit"},
    "navigation_with_keys": False,
    "show_prev_next": True,
    "header_links_before_dropdown": 8,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    # not beside examples, whose code needs the room
    "secondary_sidebar_items": {pages: ["page-toc"] for pages in ("*", "[!a]*/**", "api/*")},
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
}
html_sidebars = {
    page: [] for page in ("install", "getting_started", "changelog", "index", "theory", "contributing")
}
html_math_renderer = "mathml"  # browsers draw it themselves: no script from elsewhere


# Docstrings are written to be read in a terminal: a name that ends with an underscore is no reference there,
# and |sA| no substitution. Inherited ones refer to scikit-learn's own guide.
CODE = re.compile(r"(``.*?``|`.*?`_*)")
FITTED = re.compile(r"(?<![\w\]])([A-Za-z]\w*_)(?![\w{])")


def _prepare(app, what, name, obj, options, lines):
    for i, line in enumerate(lines):
        if line.lstrip().startswith((">>>", "...", ".. ")):
            continue
        line = re.sub(r":ref:`([^<`]+?)\s*<[^`]*>`", r"\1", line)
        parts = CODE.split(line)
        parts[::2] = [re.sub(r"\|(\w+)\|", r"\\|\1\\|", FITTED.sub(r"``\1``", part)) for part in parts[::2]]
        lines[i] = "".join(parts)


def mathml(node, **options):
    """Return a formula as MathML, with indices where TeX sets them."""
    tex = re.sub(r"\\([td]?frac)(\w)(\w)", r"\\\1{\2}{\3}", node.astext())
    tex = re.sub(r"(\\tilde\s*\w)_", r"\1{}_", tex)  # else below the letter
    tex = re.sub(r"\\\|([^|]+?)\\\|([_^])", r"{\\|\1\\|}\2", tex)  # else bars of two heights
    return tex2mathml(tex, **options)


def _inline_math(translator, node):
    translator.body.append(mathml(node))
    raise nodes.SkipNode


def _display_math(translator, node):
    translator.body.append(f'<div class="math">{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app):
    """Connect what prepares the docstrings, after numpydoc, and what draws formulas."""
    app.connect("autodoc-process-docstring", _prepare, priority=900)
    app.add_html_math_renderer("mathml", (_inline_math, None), (_display_math, None))
