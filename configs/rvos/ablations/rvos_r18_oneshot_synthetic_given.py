# Table 1, RVOS-Mask-ST: true masks in training; the whole is RVOS-Mask-ST+
_base_ = ['../rvos_r18_oneshot_synthetic.py']

model = dict(previous='given')
