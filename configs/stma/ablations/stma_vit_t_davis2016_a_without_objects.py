# Table 1: without objects in the backbone
_base_ = ['../stma_vit_t_davis2016.py']

load_from = None  # all rows begin anew
model = dict(type='STMAWithoutObjects')
