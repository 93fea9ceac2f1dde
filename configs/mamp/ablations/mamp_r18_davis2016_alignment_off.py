# Table 3: no size-aware alignment, frames are not padded
_base_ = ['../mamp_r18_released_davis2016.py']

model = dict(geometry=dict(divisor=1))
