# Flow by RAFT, as in the paper (needs the public raft-sintel checkpoint)
_base_ = ['../mamp_r18_released_davis2016.py']

model = dict(
    motion_estimator=dict(
        type='RAFT', variant='large', checkpoint='raft-sintel.pth', _delete_=True))
