# Way 2, `custom_imports`: the config itself imports the module that registers the plain names.
# Works with a folder that is only on PYTHONPATH, not installed.
_base_ = ['color_propagation_entry_point.py']

custom_imports = dict(imports=['mmvos_example.plain_names'], allow_failed_imports=False)
