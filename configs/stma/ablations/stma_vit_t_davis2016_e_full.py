# Table 1: nothing left out
_base_ = ['../stma_vit_t_davis2016.py']

load_from = None  # all rows begin anew
