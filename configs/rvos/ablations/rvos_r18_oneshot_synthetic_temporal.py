# Table 1, RVOS-Mask-T: no object knows of the one before it; true masks in training
_base_ = ['../rvos_r18_oneshot_synthetic.py']

model = dict(recurrence=('temporal',), previous='given')
