# Still images, then DAVIS-2017: train stm_r50_still.py first
_base_ = ['./stm_r50_davis2017.py']

load_from = 'work_dirs/stm_r50_still/iter_200000.pth'
