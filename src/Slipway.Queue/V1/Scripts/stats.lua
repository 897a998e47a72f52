#!lua flags=no-writes
-- Counts every state.
-- KEYS  1 ready  2 delayed  3 leases  4 dead  5 done  6 runs
-- Returns  {ready, delayed, leased, dead, done, age of the job that is next in line, ms, or 0}
-- O(1).
local time = redis.call('TIME')
local age = 0
local next = redis.call('LINDEX', KEYS[1], -1)
local run = next and redis.call('HGET', KEYS[6], next)
if run then
  age = time[1] * 1000 + math.floor(time[2] / 1000) - string.match(run, '(%d+)$')
end
return {
  redis.call('LLEN', KEYS[1]), redis.call('ZCARD', KEYS[2]), redis.call('ZCARD', KEYS[3]), redis.call('ZCARD', KEYS[4]),
  redis.call('ZCARD', KEYS[5]), math.max(0, age) }
