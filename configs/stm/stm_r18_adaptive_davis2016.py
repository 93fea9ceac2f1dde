# The small STM with AFB-URR's adaptive bank, to test weights of stm_r18_davis2016.py: every
# frame is memorised, what is alike is merged, what is hardly read is forgotten.
_base_ = ['./stm_r18_davis2016.py']

load_from = None
model = dict(
    matching_head=dict(count_above=1e-3),
    memory=dict(_delete_=True, type='AdaptiveBank', budget=300_000, similarity=0.95, rate=0.1))
