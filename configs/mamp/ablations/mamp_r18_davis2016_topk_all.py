# Table 6: all candidates
_base_ = ['../mamp_r18_released_davis2016.py']

model = dict(matching_head=dict(topk=None))
