# %% [markdown]
# # Do learners carry over to another spelling?
# %% tags=["parameters"]
profile: str = "quick"  # quick | laptop | reference
shard: str = ""  # "k/K": train this share of the trials only
# %%
from mglib.report import guard

P = guard()
# %% tags=["run"]
from mglib.trials import make_trials, run_trials

data = dict(dataset="spelling", perceptor="letters", evaluate=["lower", "upper", "title"])
many = dict(seeds=[0], split_seeds=[0, 1], steps=40, every=20)
trials = make_trials(algorithm="worst", train=[["lower", "title"]], **data, **many)
rows = run_trials("30_spelling", "weak_generalization", trials, profile=P.profile, shard=P.shard)
