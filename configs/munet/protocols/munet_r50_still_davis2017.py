# Still images first: train munet_r50_still.py
_base_ = ['./munet_r50_davis2017.py']

load_from = 'work_dirs/munet_r50_still/iter_1752000.pth'
