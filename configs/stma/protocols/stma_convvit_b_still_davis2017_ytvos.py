# Still images, then DAVIS-2017 and YouTube-VOS: train stma_convvit_b_still.py first
_base_ = ['./stma_convvit_b_davis2017_ytvos.py']

load_from = 'work_dirs/stma_convvit_b_still/iter_150000.pth'
