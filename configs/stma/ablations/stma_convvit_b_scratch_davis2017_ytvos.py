# Table 2: ConvViT-B from scratch
_base_ = ['../protocols/stma_convvit_b_davis2017_ytvos.py']
