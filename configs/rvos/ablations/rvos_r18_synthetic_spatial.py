# Table 5, RVOS-S: nothing crosses time
_base_ = ['../rvos_r18_synthetic.py']

model = dict(recurrence=('spatial',))
