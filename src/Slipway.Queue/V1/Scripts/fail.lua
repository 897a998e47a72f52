#!lua flags=allow-oom
-- Ends an attempt whose lease is still ours: the job goes to the delayed ones, or to the dead with a reason.
-- KEYS  1 leases  2 delayed  3 dead  4 runs  5 errors
-- ARGV  1 id  2 token  3 retry after, ms, or -1 for dead  4 reason  5 wake channel
-- Returns  1 moved (also when this very call was done before and its answer was lost), 0 not ours any more
-- O(log n). Idempotent: the run record keeps the token until the next lease.
local id = ARGV[1]
local run = redis.call('HGET', KEYS[4], id)
local token = run and string.match(run, '^%d+ %d+ (%d+) ')
if token ~= ARGV[2] then
  return 0
end
if redis.call('ZREM', KEYS[1], id) == 0 then
  return (redis.call('ZSCORE', KEYS[2], id) or redis.call('ZSCORE', KEYS[3], id)) and 1 or 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[5], id, ARGV[4])
if tonumber(ARGV[3]) < 0 then
  redis.call('ZADD', KEYS[3], now, id)
  return 1
end
redis.call('ZADD', KEYS[2], now + ARGV[3], id)
-- Idle workers sleep until the earliest delayed job is due: tell them when that moment moved forward.
if redis.call('ZRANGE', KEYS[2], 0, 0)[1] == id then
  redis.call('PUBLISH', ARGV[5], '1')
end
return 1
