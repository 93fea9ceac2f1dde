# Table 1: without objects in the backbone
_base_ = ['stma_convvit_t_davis2016_e_full.py']

model = dict(type='STMAWithoutObjects')
