# https://davischallenge.org: DAVIS-2017 TrainVal 480p, which has the lists of both years, unpacked
# so that data_root holds JPEGImages, Annotations and ImageSets; or the archive of 2016
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='DAVIS', data_root='data/DAVIS', year='2016', split='val'))
test_evaluator = dict(type='VOSMetric', protocol='davis2016')
test_cfg = dict()
