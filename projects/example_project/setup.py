from setuptools import setup

setup(
    name='mmvos-example',
    version='0.1.0',
    description='A complete plugin of mmvos: copy it and change it',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=['mmvos_example'],
    install_requires=['mmvos'],
    # Way 1: mmvos imports this module before it reads a config
    entry_points={'mmvos.plugins': ['mmvos_example = mmvos_example.plain_names']},
)
