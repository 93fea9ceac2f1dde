# Table 5, RVOS-T: no slot knows of the one before it
_base_ = ['../rvos_r18_synthetic.py']

model = dict(recurrence=('temporal',))
