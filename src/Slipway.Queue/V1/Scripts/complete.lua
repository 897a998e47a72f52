#!lua flags=allow-oom
-- Ends a job whose lease is still ours; its id stays known as done until the reaper forgets it.
-- KEYS  1 leases  2 done  3 jobs  4 runs  5 errors
-- ARGV  1 id  2 token
-- Returns  1 done (also when this very call was done before and its answer was lost), 0 not ours any more
-- O(log n). Idempotent: the run record keeps the token.
local id = ARGV[1]
local run = redis.call('HGET', KEYS[4], id)
local token = run and string.match(run, '^%d+ %d+ (%d+) ')
if token ~= ARGV[2] then
  return 0
end
if redis.call('ZREM', KEYS[1], id) == 0 then
  return redis.call('ZSCORE', KEYS[2], id) and 1 or 0
end
local time = redis.call('TIME')
redis.call('HDEL', KEYS[3], id)
redis.call('HDEL', KEYS[5], id)
redis.call('ZADD', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000), id)
return 1
