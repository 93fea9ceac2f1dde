# Table 3: 100 videos, second stage
_base_ = ['../zhu_r18_memory_ytvos.py']

train_dataloader = dict(dataset=dict(source=dict(indices=100)))

load_from = 'work_dirs/zhu_r18_pairs_100videos/iter_120000.pth'
