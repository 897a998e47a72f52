#!lua flags=allow-oom
-- Moves the deadline of a lease that is still ours. A lease past its deadline that nobody has reaped yet is still ours.
-- KEYS  1 leases  2 runs
-- ARGV  1 id  2 token  3 new lease from now, ms
-- Returns  the new deadline in ms, or 0 when the lease is not ours any more
-- O(log n). Idempotent.
local run = redis.call('HGET', KEYS[2], ARGV[1])
local token = run and string.match(run, '^%d+ %d+ (%d+) ')
if token ~= ARGV[2] or not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  return 0
end
local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]
redis.call('ZADD', KEYS[1], 'XX', deadline, ARGV[1])
return deadline
