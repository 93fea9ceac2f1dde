# MUNet with AFB-URR's adaptive bank in place of every fifth frame
_base_ = ['./munet_r50_davis2016.py']

model = dict(
    matching_head=dict(count_above=1e-3),
    memory=dict(_delete_=True, type='AdaptiveBank', budget=300_000, similarity=0.95, rate=0.1))
