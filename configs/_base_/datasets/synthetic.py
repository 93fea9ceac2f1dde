# Rendered from a seed: nothing to download
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='SyntheticVOS', num_videos=5, length=24, size=(240, 432), seed=0))
test_evaluator = dict(type='VOSMetric', protocol='davis2017')
test_cfg = dict()
