#!lua flags=allow-oom
-- Puts a dead job back to work, as if it were new: no attempts, no losses.
-- KEYS  1 dead  2 ready  3 runs  4 errors
-- ARGV  1 id  2 wake channel
-- Returns  1 put back, 0 not among the dead
-- O(log n).
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then
  return 0
end
local enqueued = string.match(redis.call('HGET', KEYS[3], ARGV[1]) or '0', '(%d+)$')
redis.call('HSET', KEYS[3], ARGV[1], '0 0 0 ' .. enqueued)
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('LPUSH', KEYS[2], ARGV[1])
redis.call('PUBLISH', ARGV[2], '1')
return 1
