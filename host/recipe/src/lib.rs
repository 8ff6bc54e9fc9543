//! Recipe documents: how a job, a session and a share become a hash; compiled at load, run in stages.
