# Table 1, RVOS-Mask-S: nothing but the mask crosses time; true masks in training
_base_ = ['../rvos_r18_oneshot_synthetic.py']

model = dict(recurrence=('spatial',), previous='given')
