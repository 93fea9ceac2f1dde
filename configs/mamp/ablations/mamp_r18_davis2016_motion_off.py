# Table 3 of the paper: no motion
_base_ = ['../mamp_r18_released_davis2016.py']

model = dict(motion_estimator=dict(type='ZeroFlow', _delete_=True))
