# Table 3: 100 videos, first stage. The paper gives no number
# of iterations; it is that of the whole set here.
_base_ = ['../zhu_r18_pairs_ytvos.py']

train_dataloader = dict(dataset=dict(source=dict(indices=100)))
