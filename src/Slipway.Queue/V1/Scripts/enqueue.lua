#!lua
-- Adds a job unless its id is known. Not allowed to run out of memory (no allow-oom): new work is what a full Redis refuses first.
-- KEYS  1 ready  2 delayed  3 leases  4 dead  5 done  6 jobs  7 runs
-- ARGV  1 id  2 entry  3 retention of done ids, ms  4 most jobs in the queue  5 wake channel
-- Returns  'added' | 'waiting' (ready, delayed or leased) | 'dead' | 'done' (within retention) | 'full'
-- O(log n) for the zsets' scores, O(1) else.
local id = ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('HEXISTS', KEYS[6], id) == 1 then
  return redis.call('ZSCORE', KEYS[4], id) and 'dead' or 'waiting'
end
local done = redis.call('ZSCORE', KEYS[5], id)
if done and tonumber(done) + ARGV[3] > now then
  return 'done'
end
if redis.call('HLEN', KEYS[6]) >= tonumber(ARGV[4]) then
  return 'full'
end
redis.call('ZREM', KEYS[5], id)
redis.call('HSET', KEYS[6], id, ARGV[2])
redis.call('HSET', KEYS[7], id, '0 0 0 ' .. string.format('%.0f', now))
-- Waiting workers need to hear of the first job only: each of them fetches until the queue is empty.
if redis.call('LPUSH', KEYS[1], id) == 1 then
  redis.call('PUBLISH', ARGV[5], '1')
end
return 'added'
