# Up-sampling without the half-cell offset
_base_ = ['../mamp_r18_released_davis2016.py']

model = dict(upsample='kernel_centre')
