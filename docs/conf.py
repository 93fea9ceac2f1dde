"""How Sphinx shows the pages that `docs/build.py` puts together."""
project = 'mmvos'
author = 'the mmvos developers'
extensions = ['myst_parser']
html_theme = 'furo'
html_title = 'mmvos'
myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 3
highlight_language = 'text'  # most fences are commands
html_static_path = ['_static']
html_css_files = ['wide.css']
html_show_copyright = False
