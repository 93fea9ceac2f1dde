# Flow by RAFT-small (needs its public checkpoint)
_base_ = ['../mamp_r18_released_davis2016.py']

model = dict(
    motion_estimator=dict(
        type='RAFT', variant='small', checkpoint='raft-small.pth', _delete_=True))
