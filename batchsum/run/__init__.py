"""One night, in order: plan, ask, judge, publish. Shards and their merge are the same steps."""
