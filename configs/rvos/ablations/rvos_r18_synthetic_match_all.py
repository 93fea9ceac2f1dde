# Objects may be matched with any slot, not only the first n
_base_ = ['../rvos_r18_synthetic.py']

model = dict(match_candidates='all')
