# All three stages: train stma_convvit_b_still_bl30k.py first
_base_ = ['./stma_convvit_b_davis2017_ytvos.py']

load_from = 'work_dirs/stma_convvit_b_still_bl30k/iter_250000.pth'
