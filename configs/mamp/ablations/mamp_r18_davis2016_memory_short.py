# Table 4: short-term memory only
_base_ = ['../mamp_r18_released_davis2016.py']

model = dict(memory=dict(anchors=(), annotated=False))
