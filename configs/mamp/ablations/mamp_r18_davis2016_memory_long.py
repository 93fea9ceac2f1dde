# Table 4: long-term memory only
_base_ = ['../mamp_r18_released_davis2016.py']

model = dict(memory=dict(anchors=(0, 5), recent=0))
